import Memslots

struct EvidenceCall {
    var kind: EvidenceKind
    var process: ThreadID?
    /// The time at which the call had returned.
    var stamp: TraceStamp?
    var region: RawRegion
    var hasUserAddress = true
    var result: StraceSlotCall.Outcome

    static func read(_ line: ArraySlice<UInt8>) -> EvidenceCall? {
        event(line) ?? error(line) ?? program(line)
    }

    /// QEMU's trace event, with or without `PID@TIME:`, of old and new versions.
    private static func event(_ line: ArraySlice<UInt8>) -> EvidenceCall? {
        guard let start = line.firstPosition(of: "kvm_set_user_memory ") else { return nil }
        let members = NamedNumbers(text: line[start...])
        guard let slot = members["Slot#"], members["flags="] != nil, let gpa = members["gpa="],
            let size = members["size="], let user = members["ua="], let result = members["ret="]
        else { return nil }
        var call = EvidenceCall(
            kind: .qemuTrace,
            region: members.region(slot | (members["AddrSpace#"] ?? 0) << 16, gpa, size, user),
            result: result == 0
                ? .succeeded : .failed(Errno(rawValue: 0 &- Int32(truncatingIfNeeded: result)).name)
        )
        // `PID@SECONDS.MICROSECONDS:` before the name.
        if let at = line[..<start].lastIndex(of: UInt8(ascii: "@")) {
            let digits = line[..<at].reversed().prefix { $0.decimalDigit != nil }.count
            var scanner = ByteScanner(line[(at - digits)..<start])
            call.process = StraceLine.thread(&scanner)
            if scanner.skip("@"), let seconds = scanner.decimal(), seconds < 1 << 33,
                scanner.skip("."), let micro = scanner.decimal(), micro < 1_000_000
            {
                let nanoseconds = seconds * 1_000_000_000 + micro * 1000
                call.stamp = TraceStamp(kind: .unix, nanoseconds: nanoseconds)
            }
        }
        return call
    }

    /// `kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION2 failed, slot=…: Invalid argument`.
    private static func error(_ line: ArraySlice<UInt8>) -> EvidenceCall? {
        guard let start = line.firstPosition(of: "KVM_SET_USER_MEMORY_REGION"),
            let failed = line[start...].firstPosition(of: " failed, slot=")
        else { return nil }
        let members = NamedNumbers(text: line[failed...])
        guard let slot = members["slot="], let address = members["start="],
            let size = members["size="]
        else { return nil }
        let end = line[failed...].lastIndex(of: UInt8(ascii: ":")).map { $0 + 1 }
        return EvidenceCall(
            kind: .qemuError, region: members.region(slot, address, size, 0),
            hasUserAddress: false, result: .failed(errno(line[(end ?? line.endIndex)...])))
    }

    /// The name of the errno that the C library's text is about; the text if it is another.
    static func errno(_ text: ArraySlice<UInt8>) -> String {
        let text = text.drop { $0 == UInt8(ascii: " ") }.text
        return errnoNames[text] ?? text
    }

    private static let errnoNames = [
        "Invalid argument": "EINVAL", "File exists": "EEXIST", "Bad address": "EFAULT",
        "Cannot allocate memory": "ENOMEM", "Bad file descriptor": "EBADF",
        "Input/output error": "EIO", "Inappropriate ioctl for device": "ENOTTY",
        "No such file or directory": "ENOENT",
    ]

    /// A syzkaller program: `{0x1ff, 0x3, 0x3000, 0x1000, &(0x7f0000fec000/0x1000)=nil}`.
    private static func program(_ line: ArraySlice<UInt8>) -> EvidenceCall? {
        guard let start = line.firstPosition(of: "ioctl$KVM_SET_USER_MEMORY_REGION") else {
            return nil
        }
        var scanner = ByteScanner(line[start...])
        let isNew = line[start...].stands("ioctl$KVM_SET_USER_MEMORY_REGION2")
        guard scanner.skip(past: "={") else { return nil }
        var words: [UInt64] = []
        while words.count < 7 {
            scanner.skipSpaces()
            _ = scanner.skip("&") && scanner.skip("(")
            guard let word = scanner.number() else { break }
            words.append(word)
            guard scanner.next != UInt8(ascii: "}"), scanner.skip(past: ",") else { break }
        }
        guard words.count >= 5 else { return nil }
        return EvidenceCall(
            kind: .syzkaller,
            region: RawRegion(
                slot: UInt32(truncatingIfNeeded: words[0]),
                flags: UInt32(truncatingIfNeeded: words[1]), guestPhysicalAddress: words[2],
                memorySize: words[3], userspaceAddress: words[4],
                guestMemfd: isNew ? RawGuestMemfd.none : nil), result: .none)
    }
}

/// Numbers that follow their names in a text: `slot=2, start=0xffc84000`.
private struct NamedNumbers {
    let text: ArraySlice<UInt8>

    /// The number after `name`, negative ones in two's complement; `nil` if there is none.
    subscript(name: StaticString) -> UInt64? {
        var rest = text
        while let start = rest.firstPosition(of: name) {
            // `size=` is also the end of other names.
            let isWhole = start == text.startIndex || !text[start - 1].isIdentifier
            var scanner = ByteScanner(text[start...])
            _ = scanner.skip(past: name)
            if isWhole {
                return scanner.skip("-") ? scanner.number().map { 0 &- $0 } : scanner.number()
            }
            rest = scanner.rest
        }
        return nil
    }

    /// A call's words, with the flags and, in a REGION2 call, the guest_memfd that the text names.
    func region(_ slot: UInt64, _ address: UInt64, _ size: UInt64, _ user: UInt64) -> RawRegion {
        RawRegion(
            slot: UInt32(truncatingIfNeeded: slot),
            flags: UInt32(truncatingIfNeeded: self["flags="] ?? 0), guestPhysicalAddress: address,
            memorySize: size, userspaceAddress: user,
            guestMemfd: self["guest_memfd="].map { word in
                Int64(bitPattern: word) < 0 ? .none : .file(index: UInt32(truncatingIfNeeded: word))
            }, guestMemfdOffset: self["guest_memfd_offset="] ?? 0)
    }
}
