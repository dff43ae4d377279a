import Foundation
import TestSupport
import Testing

/// What `MEMSLOTS_KERNEL` names, else the newest in `/boot`.
private let kernel: String? = {
    let installed = (try? FileManager.default.contentsOfDirectory(atPath: "/boot")) ?? []
    let paths = installed.filter { $0.hasPrefix("vmlinuz-") }.sorted().map { "/boot/\($0)" }
    let named = ProcessInfo.processInfo.environment["MEMSLOTS_KERNEL"].map { [$0] }
    return (named ?? paths).last { access($0, R_OK) == 0 }
}()

/// The kernel of a distribution under QEMU: far more of the VMM and of KVM than a guest of our own uses.
@Suite(
    "a distribution's kernel under run", .serialized,
    .enabled(
        if: Workbench.canRunQEMU && kernel != nil,
        "needs /dev/kvm, qemu-system-x86_64, and a kernel in /boot or named by MEMSLOTS_KERNEL"))
struct DistributionKernelTests {
    /// Without a root file system the kernel panics at the end of its boot, and QEMU ends.
    private static let words =
        [
            "-accel", "kvm", "-M", "pc", "-smp", "2", "-m", "512", "-display",
            "none", "-vga", "std", "-nodefaults", "-no-reboot", "-serial", "stdio", "-kernel",
            kernel ?? "", "-append", "console=ttyS0 panic=-1",
        ]

    @Test("boots to the end under --atomic as it does bare", .timeLimit(.minutes(10)))
    func boots() throws {
        let qemu = Workbench.qemu ?? ""
        let bare = Finished(running: qemu, Self.words, seconds: 90)
        guard bare.output.contains("Unable to mount root fs") else {
            try Test.cancel(
                "bare QEMU does not boot \(kernel ?? "") here: \(bare.errors.suffix(200))")
        }
        let report = Workbench.file("report")
        let run = Finished(
            running: Workbench.memslotctl ?? "",
            ["run", "--atomic", "--report-file", report, "--", qemu] + Self.words, seconds: 300)
        #expect(run.output.contains("Unable to mount root fs"), "\(run.output.suffix(2_000))")
        #expect(run.status == bare.status)
        #expect(runningHoles(ofKernelIn: text(report)) == [], "\(text(report))")
    }
}
