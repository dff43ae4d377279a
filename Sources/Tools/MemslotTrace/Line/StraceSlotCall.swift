import Memslots

/// One `KVM_SET_USER_MEMORY_REGION` or `…REGION2` in a log.
struct StraceSlotCall {
    enum Outcome: Hashable {
        case succeeded
        /// With the errno's name, or strace's text for it.
        case failed(String)
        /// The call never returned, for which strace prints `?`; or the text is a program, which has
        /// no results.
        case none
    }

    var descriptor: Int32
    /// The arguments; `nil` if strace printed a pointer.
    var region: RawRegion?
    var outcome: Outcome
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
        if scanner.skip("?") {
            outcome = .none
        } else if scanner.skip("-1 ") {
            let name = scanner.identifier()
            outcome = .failed(name.isEmpty ? "-1" : name.text)
        } else {
            guard let result = scanner.number() else {
                throw fail("0, -1 or ? as the call's result")
            }
            // If the process ended during the call, strace may print a stale register.
            outcome = result == 0 ? .succeeded : .none
        }
        self.descriptor = descriptor
        self.region = region
        nanoseconds = StraceCall.duration(scanner.bytes)
    }
}

/// Reads `{slot=…, flags=…, guest_phys_addr=…, memory_size=…, userspace_addr=…}`.
enum RegionText {
    /// - Parameter isNew: whether it is the argument of `…REGION2`.
    static func read(
        _ scanner: inout ByteScanner, isNew: Bool
    ) throws(StraceSyntaxError) -> RawRegion {
        var members = Members(isNew: isNew)
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
        guard members.found.count == 5 else {
            throw expected(
                "slot, flags, guest_phys_addr, memory_size and userspace_addr, not "
                    + "\(members.found.count) of these five", &scanner)
        }
        return members.region
    }

    fileprivate static func expected(
        _ what: String, _ scanner: inout ByteScanner
    ) -> StraceSyntaxError {
        StraceSyntaxError(offset: scanner.offset, expected: what)
    }
}

private struct Members {
    private(set) var region: RawRegion
    /// Those of the five members of each call that were read.
    private(set) var found: Set<PartialKeyPath<RawRegion>> = []

    init(isNew: Bool) {
        region = RawRegion(
            slot: 0, flags: 0, guestPhysicalAddress: 0, memorySize: 0, userspaceAddress: 0,
            guestMemfd: isNew ? RawGuestMemfd.none : nil)
    }

    mutating func read(
        _ name: ArraySlice<UInt8>, _ scanner: inout ByteScanner
    ) throws(StraceSyntaxError) {
        switch name.text {
        case "slot": set(\.slot, try word(&scanner))
        case "flags": set(\.flags, try Self.flags(&scanner))
        case "guest_phys_addr": set(\.guestPhysicalAddress, try number(&scanner))
        case "memory_size": set(\.memorySize, try number(&scanner))
        case "userspace_addr": set(\.userspaceAddress, try number(&scanner))
        case "guest_memfd_offset": region.guestMemfdOffset = try number(&scanner)
        case "guest_memfd" where scanner.skip("-1"): break
        case "guest_memfd":
            let index = try word(&scanner)
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
                guard let flag = Self.flags[scanner.identifier().text] else {
                    throw StraceSyntaxError(offset: start, expected: "KVM_MEM_… or a number")
                }
                flags |= flag.rawValue
            }
            scanner.skipComment()
        } while scanner.skip("|")
        return flags
    }

    private static let flags: [String: MemslotFlags] = [
        "KVM_MEM_LOG_DIRTY_PAGES": .logDirtyPages, "KVM_MEM_READONLY": .readOnly,
        "KVM_MEM_GUEST_MEMFD": .guestMemfd,
    ]

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
