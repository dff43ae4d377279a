import CRunRecord

/// A traced call, if it concerns slots.
enum StraceCall {
    case createdVM(descriptor: Int32)
    case createdVCPU(vm: Int32, descriptor: Int32)
    case run(descriptor: Int32)
    case slot(StraceSlotCall)
    /// A new thread or, without `sharesProcess`, process.
    case cloned(child: ThreadID, sharesProcess: Bool)
    case duplicated(descriptor: Int32, copy: Int32)
    case closed(descriptor: Int32)
    /// `munmap`, or `mprotect` that takes an access away.
    case changedMemory(name: String, left: UserMapping)
    case other

    private typealias Reader = (inout ByteScanner) throws(StraceSyntaxError) -> StraceCall

    /// Reads a call from its `(` on; `nil` if the call can't concern VMs, threads or descriptors.
    private static func reader(of name: ArraySlice<UInt8>) -> Reader? {
        switch name.text {
        case "ioctl": control
        case "close": close
        case "fcntl": duplicate
        case "fork", "vfork": clone
        case "munmap", "mprotect": memory
        case let name where name.hasPrefix("dup"): duplicate
        case let name where name.hasPrefix("clone"): clone
        default: nil
        }
    }

    var isRun: Bool { if case .run = self { true } else { false } }

    static func matters(_ body: ArraySlice<UInt8>) -> Bool {
        var scanner = ByteScanner(body)
        return reader(of: scanner.identifier()) != nil
    }

    /// Whether the text of an `ioctl` ends before its result, as on a wrapped or cut line.
    static func isWithoutResult(_ body: ArraySlice<UInt8>) -> Bool {
        var scanner = ByteScanner(body)
        guard scanner.skip("ioctl(") else { return false }
        while scanner.skip(past: ")") {
            scanner.skipSpaces()
            if scanner.next == UInt8(ascii: "=") { return false }
        }
        return true
    }

    /// The duration that `-T` prints at the end of a line, in nanoseconds.
    static func duration(_ body: ArraySlice<UInt8>) -> UInt64? {
        guard body.last == UInt8(ascii: ">"), let start = body.lastIndex(of: UInt8(ascii: "<"))
        else { return nil }
        var scanner = ByteScanner(body[(start + 1)...])
        guard let seconds = scanner.decimal(), seconds < 1 << 33,
            let fraction = TraceStamp.fraction(&scanner), scanner.next == UInt8(ascii: ">")
        else { return nil }
        return seconds * 1_000_000_000 + fraction
    }

    /// Reads a call from its name on. Throws only for a slot call; others become `.other`.
    init(_ body: ArraySlice<UInt8>) throws(StraceSyntaxError) {
        var scanner = ByteScanner(body)
        let read = Self.reader(of: scanner.identifier())
        self = if let read, scanner.skip("(") { try read(&scanner) } else { .other }
    }

    private static func control(
        _ scanner: inout ByteScanner
    ) throws(StraceSyntaxError) -> StraceCall {
        guard let descriptor = Self.descriptor(&scanner), scanner.skip(", "),
            let request = KVMRequest.read(&scanner)
        else { return .other }
        switch request {
        case .run: return .run(descriptor: descriptor)
        case .setUserMemoryRegion, .setUserMemoryRegion2:
            return .slot(
                try StraceSlotCall(
                    &scanner, on: descriptor, isNew: request == .setUserMemoryRegion2))
        case .createVM: return result(&scanner).map { .createdVM(descriptor: $0) } ?? .other
        case .createVCPU:
            return result(&scanner).map { .createdVCPU(vm: descriptor, descriptor: $0) } ?? .other
        }
    }

    private static func close(_ scanner: inout ByteScanner) -> StraceCall {
        guard let descriptor = descriptor(&scanner), result(&scanner) == 0 else { return .other }
        return .closed(descriptor: descriptor)
    }

    private static func duplicate(_ scanner: inout ByteScanner) -> StraceCall {
        let isControl = scanner.bytes.stands("fcntl")
        guard let descriptor = descriptor(&scanner) else { return .other }
        if isControl, !scanner.skip(", F_DUPFD") { return .other }
        return result(&scanner).map { .duplicated(descriptor: descriptor, copy: $0) } ?? .other
    }

    private static func clone(_ scanner: inout ByteScanner) -> StraceCall {
        let sharesProcess = scanner.rest.firstPosition(of: "CLONE_THREAD") != nil
        guard let child = result(&scanner), child > 0 else { return .other }
        return .cloned(child: ThreadID(rawValue: UInt32(child)), sharesProcess: sharesProcess)
    }

    private static func memory(_ scanner: inout ByteScanner) -> StraceCall {
        let isProtection = scanner.bytes.stands("mprotect")
        guard let start = scanner.number(), scanner.skip(", "), let size = scanner.number(),
            size > 0, !start.addingReportingOverflow(size).overflow
        else { return .other }
        if isProtection, scanner.rest.firstPosition(of: "PROT_WRITE") != nil { return .other }
        let isReadable = scanner.rest.firstPosition(of: "PROT_READ") != nil
        let access = isProtection ? (isReadable ? CRUN_READABLE : 0) : CRUN_UNMAPPED
        guard result(&scanner) == 0 else { return .other }
        return .changedMemory(
            name: isProtection ? "mprotect" : "munmap",
            left: UserMapping(range: start..<start + size, access: access))
    }

    static func faulted(_ body: ArraySlice<UInt8>) -> Bool {
        body.suffix(80).firstPosition(of: "= -1 EFAULT") != nil
    }

    /// Reads a descriptor and what `-y` prints after it.
    private static func descriptor(_ scanner: inout ByteScanner) -> Int32? {
        guard let number = scanner.number(), let descriptor = Int32(exactly: number) else {
            return nil
        }
        if scanner.next == UInt8(ascii: "<") {
            // A socket's decoration contains a > itself.
            repeat {
                guard scanner.skip(past: ">") else { return nil }
            } while scanner.next != UInt8(ascii: ",") && scanner.next != UInt8(ascii: ")")
        }
        return descriptor
    }

    /// The number that the call returned; `nil` if it failed or never returned.
    private static func result(_ scanner: inout ByteScanner) -> Int32? {
        var value: Int32?
        // Arguments may contain the same text; the result is the last.
        while scanner.skip(past: ")") {
            var ahead = scanner
            ahead.skipSpaces()
            guard ahead.skip("= ") else { continue }
            value = ahead.number().flatMap { Int32(exactly: $0) }
        }
        return value
    }
}

/// The KVM requests that concern slots, with the numbers of x86, arm64 and RISC-V (`KVMIO` in
/// linux/kvm.h). On MIPS and PowerPC only strace's names are recognised.
enum KVMRequest: UInt64, CaseIterable {
    case createVM = 0xae01
    case createVCPU = 0xae41
    case run = 0xae80
    case setUserMemoryRegion = 0x4020_ae46
    case setUserMemoryRegion2 = 0x40a0_ae49

    /// Reads `KVM_RUN`, `0xae80`, `0xae80 /* KVM_RUN */` or `_IOC(_IOC_NONE, 0xae, 0x80, 0)`.
    static func read(_ scanner: inout ByteScanner) -> KVMRequest? {
        if let number = scanner.number() {
            scanner.skipSpaces()
            guard scanner.skip("/*") else { return KVMRequest(rawValue: number) }
            scanner.skipSpaces()
            let named = named(&scanner)
            guard scanner.skip(past: "*/") else { return nil }
            return KVMRequest(rawValue: number) ?? named
        }
        return named(&scanner)
    }

    private static func named(_ scanner: inout ByteScanner) -> KVMRequest? {
        var found: KVMRequest?
        // strace joins names with the same number with "or".
        repeat {
            let name = scanner.identifier()
            found = found ?? (name.equals("_IOC") ? composed(&scanner) : names[name.text])
        } while scanner.skip(" or ")
        return found
    }

    private static let names: [String: KVMRequest] = [
        "KVM_RUN": .run, "KVM_CREATE_VM": .createVM, "KVM_CREATE_VCPU": .createVCPU,
        "KVM_SET_USER_MEMORY_REGION": .setUserMemoryRegion,
        "KVM_SET_USER_MEMORY_REGION2": .setUserMemoryRegion2,
    ]

    /// Reads `(_IOC_WRITE, 0xae, 0x49, 0xa0)`, strace's form of an unknown request.
    private static func composed(_ scanner: inout ByteScanner) -> KVMRequest? {
        guard scanner.skip("("), scanner.skip(past: ", "), let type = scanner.number(),
            scanner.skip(", "), let number = scanner.number(), scanner.skip(", "),
            scanner.number() != nil, scanner.skip(")"), type == 0xae
        else { return nil }
        return allCases.first { $0.rawValue & 0xff == number }
    }
}
