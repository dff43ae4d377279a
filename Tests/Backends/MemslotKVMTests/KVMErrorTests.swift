import Memslots
import Testing

@testable import MemslotKVM

@Suite("errors of KVM")
struct KVMErrorTests {
    private let errors: [KVMError] = [
        .deviceMissing(path: "/dev/kvm"), .permissionDenied(path: "/dev/kvm"),
        .unsupportedVersion(11), .kernelTooOld(missing: .immediateExit),
        .unsupportedOption(missing: .dirtyLogRing), .vmOfAnotherProcess(creator: 7),
        .installedSlotDiffers(SlotKey(id: SlotID(3)), .absent),
        .installedSlotUnlisted(SlotKey(id: SlotID(3))),
        .dirtyLogDiffers(.manual), .noVCPU(.noEntry),
        .callFailed(call: "KVM_CREATE_VM", errno: .outOfMemory),
    ]

    @Test("each case has its own kind")
    func kinds() {
        let kinds = [
            "kvm-device-missing",
            "kvm-permission-denied",
            "kvm-unsupported-version",
            "kvm-kernel-too-old",
            "kvm-unsupported-option",
            "kvm-other-process",
            "kvm-installed-slot-differs",
            "kvm-installed-slot-unlisted",
            "kvm-dirty-log-differs",
            "kvm-no-vcpu",
            "kvm-call-failed",
        ]
        #expect(errors.map(\.kind) == kinds)
    }

    @Test("the message says what to do")
    func advice() {
        #expect(errors[0].description.contains("modprobe"))
        #expect(errors[1].description.contains("group"))
        #expect(errors[3].description.contains("4.11"))
        let quirk = KVMError.unsupportedOption(missing: .disableQuirks2).description
        #expect(quirk.contains("KVM_X86_QUIRK_SLOT_ZAP_ALL") && quirk.contains("6.12"))
        #expect(errors[5].description.contains("process 7 created the VM"))
        let key = SlotKey(id: SlotID(.max))
        let nameless = KVMError.installedSlotDiffers(key, .invalid).description
        #expect(nameless.contains("without an id") && !nameless.contains("4294967295"))
    }

    @Test("a failed open is explained")
    func open() {
        #expect(KVMSystem.unavailability(path: "/nowhere/kvm")?.kind == "kvm-device-missing")
        // Can be opened, but is not KVM.
        #expect(KVMSystem.unavailability(path: "/dev/null")?.kind == "kvm-device-missing")
        let denied = Errno(name: "EACCES").map { KVMSystem.openError($0, path: "/dev/kvm") }
        #expect(denied == .permissionDenied(path: "/dev/kvm"))
    }

    @Test("capabilities have the kernel's names")
    func capabilities() {
        let names = KVMCapability.allCases.map(\.kernelName)
        #expect(Set(names).count == names.count)
        #expect(KVMCapability(rawValue: 10)?.kernelName == "KVM_CAP_NR_MEMSLOTS")
    }
}
