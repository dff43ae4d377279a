import Memslots

/// One `KVM_SET_USER_MEMORY_REGION` or `…REGION2` in a log.
struct StraceSlotCall {
    enum Answer: Hashable {
        case succeeded
        /// With the errno's name, or strace's text for it.
        case failed(String)
        /// strace printed `?`: the call never returned.
        case none
    }

    var descriptor: Int32
    /// The arguments; `nil` if strace printed a pointer.
    var region: RawRegion?
    var answer: Answer
    /// The duration that `-T` printed, in nanoseconds.
    var nanoseconds: UInt64?
}

/// The place at which a call's text is malformed, and what was expected.
struct StraceSyntaxError: Error {
    var offset: Int
    var expected: String
}

extension StraceSlotCall {
    /// Reads the part after the request.
    ///
    /// - Parameter isNew: whether it is a `…REGION2` call.
    init(
        _ scanner: inout ByteScanner, on descriptor: Int32, isNew: Bool
    ) throws(StraceSyntaxError) {
        func fail(_ expected: String) -> StraceSyntaxError {
            StraceSyntaxError(offset: scanner.offset, expected: expected)
        }
        scanner.skipSpaces()
        guard scanner.skip(", ") else { throw fail("a comma and the region") }
        var region: RawRegion?
        if scanner.next == UInt8(ascii: "{") {
            region = try RegionText.read(&scanner, isNew: isNew)
        } else if scanner.number() == nil {
            throw fail("{slot=…} or a pointer")
        }
        scanner.skipSpaces()
        guard scanner.skip(")") else { throw fail("a closing parenthesis") }
        scanner.skipSpaces()
        guard scanner.skip("= ") else { throw fail("= and the call's result") }
        let answer: StraceSlotCall.Answer
        if scanner.skip("?") {
            answer = .none
        } else if scanner.skip("-1 ") {
            let name = scanner.identifier()
            answer = .failed(name.isEmpty ? "-1" : name.text)
        } else {
            guard let result = scanner.number() else {
                throw fail("0, -1 or ? as the call's result")
            }
            // If the process ended during the call, strace may print a stale register.
            answer = result == 0 ? .succeeded : .none
        }
        self.descriptor = descriptor
        self.region = region
        self.answer = answer
        nanoseconds = StraceCall.duration(scanner.bytes)
    }
}

/// Reads `{slot=…, flags=…, guest_phys_addr=…, memory_size=…, userspace_addr=…}`.
enum RegionText {
    /// - Parameter isNew: whether it is the argument of `…REGION2`.
    static func read(
        _ scanner: inout ByteScanner, isNew: Bool
    ) throws(StraceSyntaxError) -> RawRegion {
        var members = Members()
        guard scanner.skip("{") else { throw expected("{", &scanner) }
        repeat {
            scanner.skipSpaces()
            let name = scanner.identifier()
            guard !name.isEmpty, scanner.skip("=") else {
                throw expected("a member's name and =", &scanner)
            }
            try members.read(name, &scanner)
        } while scanner.skip(",")
        guard scanner.skip("}") else { throw expected("a comma or }", &scanner) }
        guard let slot = members.slot, let flags = members.flags, let address = members.address,
            let size = members.size, let userspaceAddress = members.userspaceAddress
        else {
            throw expected(
                "slot, flags, guest_phys_addr, memory_size and userspace_addr, not \(members.count)"
                    + " of these five", &scanner)
        }
        return RawRegion(
            slot: slot, flags: flags, guestPhysicalAddress: address, memorySize: size,
            userspaceAddress: userspaceAddress,
            guestMemfd: isNew
                ? members.guestMemfd.map { .file(index: $0) } ?? RawGuestMemfd.none : nil,
            guestMemfdOffset: members.guestMemfdOffset)
    }

    fileprivate static func expected(
        _ what: String, _ scanner: inout ByteScanner
    ) -> StraceSyntaxError {
        StraceSyntaxError(offset: scanner.offset, expected: what)
    }
}

private struct Members {
    var slot: UInt32?
    var flags: UInt32?
    var address: UInt64?
    var size: UInt64?
    var userspaceAddress: UInt64?
    var guestMemfd: UInt32?
    var guestMemfdOffset: UInt64 = 0

    var count: Int {
        [slot != nil, flags != nil, address != nil, size != nil, userspaceAddress != nil]
            .count { $0 }
    }

    mutating func read(
        _ name: ArraySlice<UInt8>, _ scanner: inout ByteScanner
    ) throws(StraceSyntaxError) {
        if name.equals("slot") {
            slot = try word(&scanner)
        } else if name.equals("flags") {
            flags = try Self.flags(&scanner)
        } else if name.equals("guest_phys_addr") {
            address = try number(&scanner)
        } else if name.equals("memory_size") {
            size = try number(&scanner)
        } else if name.equals("userspace_addr") {
            userspaceAddress = try number(&scanner)
        } else if name.equals("guest_memfd_offset") {
            guestMemfdOffset = try number(&scanner)
        } else if name.equals("guest_memfd") {
            if scanner.skip("-1") {
                guestMemfd = nil
            } else {
                guestMemfd = try word(&scanner)
                if scanner.next == UInt8(ascii: "<") { _ = scanner.skip(past: ">") }
            }
        } else {
            skipValue(&scanner)
        }
        scanner.skipComment()
    }

    private func number(_ scanner: inout ByteScanner) throws(StraceSyntaxError) -> UInt64 {
        guard let value = scanner.number() else {
            throw RegionText.expected("a number of at most 64 bits", &scanner)
        }
        return value
    }

    private func word(_ scanner: inout ByteScanner) throws(StraceSyntaxError) -> UInt32 {
        let start = scanner.offset
        guard let value = scanner.number(), let word = UInt32(exactly: value) else {
            throw StraceSyntaxError(offset: start, expected: "a number of at most 32 bits")
        }
        return word
    }

    /// Reads names and numbers joined by `|`.
    private static func flags(_ scanner: inout ByteScanner) throws(StraceSyntaxError) -> UInt32 {
        var flags: UInt32 = 0
        repeat {
            let start = scanner.offset
            if let number = scanner.number() {
                guard let word = UInt32(exactly: number) else {
                    throw StraceSyntaxError(offset: start, expected: "flags of 32 bits")
                }
                flags |= word
            } else {
                let name = scanner.identifier()
                guard let flag = flag(name: name) else {
                    throw StraceSyntaxError(offset: start, expected: "KVM_MEM_… or a number")
                }
                flags |= flag.rawValue
            }
            scanner.skipComment()
        } while scanner.skip("|")
        return flags
    }

    private static func flag(name: ArraySlice<UInt8>) -> MemslotFlags? {
        if name.equals("KVM_MEM_LOG_DIRTY_PAGES") { return .logDirtyPages }
        if name.equals("KVM_MEM_READONLY") { return .readOnly }
        return name.equals("KVM_MEM_GUEST_MEMFD") ? .guestMemfd : nil
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
