package import Memslots

struct StraceSlotCall {
    enum Outcome: Hashable {
        case succeeded
        /// With the errno's name, or strace's text for it.
        case failed(String)
        /// The call never returned, for which strace prints `?`; or a program has no results.
        case none
    }

    var descriptor: Int32
    /// The arguments; `nil` if strace printed a pointer.
    var region: RawRegion?
    var outcome: Outcome
    /// The duration that `-T` printed, in nanoseconds.
    var nanoseconds: UInt64?

    /// Reads the part after the request, of a `…REGION2` call if it `isNew`.
    init(
        _ scanner: inout ByteScanner, on descriptor: Int32, isNew: Bool
    ) throws(StraceSyntaxError) {
        scanner.skipSpaces()
        try scanner.require(", ", "a comma and the region")
        if scanner.next == UInt8(ascii: "{") {
            var text = RegionText(isNew: isNew)
            try text.read(&scanner)
            region = text.region
        } else if scanner.number() == nil {
            throw scanner.expected("{slot=…} or a pointer")
        }
        scanner.skipSpaces()
        try scanner.require(")", "a closing parenthesis")
        scanner.skipSpaces()
        try scanner.require("= ", "= and the call's result")
        if scanner.skip("?") {
            outcome = .none
        } else if scanner.skip("-1 ") {
            let name = scanner.identifier()
            outcome = .failed(name.isEmpty ? "-1" : name.text)
        } else {
            guard let result = scanner.number() else {
                throw scanner.expected("0, -1 or ? as the call's result")
            }
            // If the process ended during the call, strace may print a stale register.
            outcome = result == 0 ? .succeeded : .none
        }
        self.descriptor = descriptor
        nanoseconds = StraceCall.duration(scanner.bytes)
    }
}

struct StraceSyntaxError: Error {
    var offset: Int
    var expected: String
}

extension ByteScanner {
    fileprivate func expected(_ what: String) -> StraceSyntaxError {
        StraceSyntaxError(offset: offset, expected: what)
    }

    fileprivate mutating func require(
        _ text: StaticString, _ what: String
    ) throws(StraceSyntaxError) {
        guard skip(text) else { throw expected(what) }
    }

    /// Reads a number of `Value`'s width, or throws that `what` was expected.
    fileprivate mutating func number<Value: FixedWidthInteger>(
        _ what: @autoclosure () -> String = "a number of at most \(Value.bitWidth) bits"
    ) throws(StraceSyntaxError) -> Value {
        let start = offset
        guard let number = number(), let value = Value(exactly: number) else {
            throw StraceSyntaxError(offset: start, expected: what())
        }
        return value
    }
}

/// Reads `{slot=…, flags=…, guest_phys_addr=…, memory_size=…, userspace_addr=…}`.
private struct RegionText {
    private(set) var region: RawRegion
    private var found: Set<PartialKeyPath<RawRegion>> = []

    init(isNew: Bool) {
        region = RawRegion(
            slot: 0, flags: 0, guestPhysicalAddress: 0, memorySize: 0, userspaceAddress: 0,
            guestMemfd: isNew ? RawGuestMemfd.none : nil)
    }

    mutating func read(_ scanner: inout ByteScanner) throws(StraceSyntaxError) {
        try scanner.require("{", "{")
        repeat {
            scanner.skipSpaces()
            let name = scanner.identifier()
            guard !name.isEmpty, scanner.skip("=") else {
                throw scanner.expected("a member's name and =")
            }
            try read(name, &scanner)
        } while scanner.skip(",")
        try scanner.require("}", "a comma or }")
        guard found.count == 5 else {
            throw scanner.expected(
                "slot, flags, guest_phys_addr, memory_size and userspace_addr, not "
                    + "\(found.count) of these five")
        }
    }

    private mutating func read(
        _ name: ArraySlice<UInt8>, _ scanner: inout ByteScanner
    ) throws(StraceSyntaxError) {
        switch name.text {
        case "slot": set(\.slot, try scanner.number())
        case "flags": set(\.flags, try Self.flags(&scanner))
        case "guest_phys_addr": set(\.guestPhysicalAddress, try scanner.number())
        case "memory_size": set(\.memorySize, try scanner.number())
        case "userspace_addr": set(\.userspaceAddress, try scanner.number())
        case "guest_memfd_offset": region.guestMemfdOffset = try scanner.number()
        case "guest_memfd" where scanner.skip("-1"): break
        case "guest_memfd":
            let index: UInt32 = try scanner.number()
            if region.guestMemfd != nil { region.guestMemfd = .file(index: index) }
            if scanner.next == UInt8(ascii: "<") { _ = scanner.skip(past: ">") }
        default: skipValue(&scanner)
        }
        scanner.skipComment()
    }

    private mutating func set<Value>(_ member: WritableKeyPath<RawRegion, Value>, _ value: Value) {
        region[keyPath: member] = value
        found.insert(member)
    }

    private static func flags(_ scanner: inout ByteScanner) throws(StraceSyntaxError) -> UInt32 {
        var flags: UInt32 = 0
        repeat {
            if scanner.next.decimalDigit != nil {
                flags |= try scanner.number("flags of 32 bits")
            } else {
                let start = scanner.offset
                guard let flag = MemslotFlags.kernelNames[scanner.identifier().text] else {
                    throw StraceSyntaxError(offset: start, expected: "KVM_MEM_… or a number")
                }
                flags |= flag.rawValue
            }
            scanner.skipComment()
        } while scanner.skip("|")
        return flags
    }

    /// Skips the value of a member that is not needed, such as a pad.
    private func skipValue(_ scanner: inout ByteScanner) {
        var depth = 0
        while !scanner.isAtEnd {
            switch scanner.next {
            case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: "}") where depth > 0: depth -= 1
            case UInt8(ascii: "}"): return
            case UInt8(ascii: ",") where depth <= 0: return
            default: break
            }
            scanner.advance()
        }
    }
}

extension MemslotFlags {
    package static let kernelNames: [String: MemslotFlags] = [
        "KVM_MEM_LOG_DIRTY_PAGES": .logDirtyPages, "KVM_MEM_READONLY": .readOnly,
        "KVM_MEM_GUEST_MEMFD": .guestMemfd,
    ]
}
