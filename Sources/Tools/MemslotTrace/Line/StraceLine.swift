/// One line of an strace log, without the context of the lines before it.
struct StraceLine {
    enum Content {
        case call(body: ArraySlice<UInt8>)
        /// The beginning of a call that another thread's line interrupts.
        case unfinished(body: ArraySlice<UInt8>)
        case resumed(name: ArraySlice<UInt8>, rest: ArraySlice<UInt8>)
        case exited, signal
        case attached(ThreadID)
        /// Our condensed form of many `KVM_RUN` calls of one thread.
        case condensedRuns(ThreadID)
        case scenario(String)
        /// Anything else: signals, comments, other programs' output.
        case other
    }

    var thread: ThreadID?
    var stamp: TraceStamp?
    var content: Content = .other

    init(_ bytes: ArraySlice<UInt8>) {
        var scanner = ByteScanner(bytes)
        if scanner.skip("# ") {
            if scanner.skip("scenario ") {
                content = .scenario(scanner.rest.text)
            } else if scanner.skip("KVM_RUN tid="), let thread = Self.thread(&scanner) {
                content = .condensedRuns(thread)
            }
            return
        }
        if scanner.skip("strace: Process ") || scanner.skip("Process ") {
            if let thread = Self.thread(&scanner), scanner.skip(" attached") {
                content = .attached(thread)
            }
            return
        }
        guard !read(&scanner) else { return }
        // The guest's console may have written on the same line before strace.
        if let start = bytes.firstPosition(of: "[pid "), start > bytes.startIndex {
            scanner = ByteScanner(bytes[start...])
            if read(&scanner) { return }
        }
        // Other text, such as another program's time.
        guard Self.holdsSlotCall(bytes), let start = bytes.firstPosition(of: "ioctl(") else {
            return
        }
        scanner = ByteScanner(bytes[start...])
        _ = read(&scanner)
    }

    private mutating func read(_ scanner: inout ByteScanner) -> Bool {
        readThread(&scanner)
        scanner.skipSpaces()
        stamp = TraceStamp.read(&scanner)
        scanner.skipSpaces()
        skipExtras(&scanner)
        if scanner.skip("<... ") { return readResumed(&scanner) }
        if scanner.skip("+++ ") {
            content = .exited
        } else if scanner.skip("--- ") {
            content = .signal
        } else {
            return readCall(scanner)
        }
        return true
    }

    private mutating func readThread(_ scanner: inout ByteScanner) {
        var ahead = scanner
        let isBracketed = ahead.skip("[pid")
        ahead.skipSpaces()
        guard let thread = Self.thread(&ahead) else { return }
        // With -Y, the program's name follows.
        if ahead.next == UInt8(ascii: "<"), !ahead.skip(past: ">") { return }
        // Seconds since 1970 are not a thread.
        let isThread = ahead.next == UInt8(ascii: " ") && thread.rawValue < 100_000_000
        guard isBracketed ? ahead.skip("]") : isThread else { return }
        self.thread = thread
        scanner = ahead
    }

    /// Skips `(+ 0.000123)` of `-r` after a time, and what `-i` and `-n` print in brackets.
    private func skipExtras(_ scanner: inout ByteScanner) {
        while scanner.next == UInt8(ascii: "(") && scanner.byte(ahead: 1) == UInt8(ascii: "+")
            ? scanner.skip(past: ")") : scanner.next == UInt8(ascii: "[") && scanner.skip(past: "]")
        {
            scanner.skipSpaces()
        }
    }

    private mutating func readResumed(_ scanner: inout ByteScanner) -> Bool {
        let name = scanner.identifier()
        guard scanner.skip(" resumed") else { return false }
        scanner.skipSpaces()
        guard scanner.skip(">") else { return false }
        content = .resumed(name: name, rest: scanner.rest)
        return true
    }

    private mutating func readCall(_ scanner: ByteScanner) -> Bool {
        var ahead = scanner
        guard !ahead.identifier().isEmpty, ahead.next == UInt8(ascii: "(") else { return false }
        let body = scanner.rest
        // At its end there may be strace's text for a call that never returned.
        if let cut = body.firstPosition(of: "<unfinished ...>"),
            body[cut...].dropFirst(16).allSatisfy({ " )=?".utf8.contains($0) })
        {
            content = .unfinished(body: body[..<cut])
        } else {
            content = .call(body: body)
        }
        return true
    }

    static func thread(_ scanner: inout ByteScanner) -> ThreadID? {
        scanner.decimal().flatMap { UInt32(exactly: $0) }.map { ThreadID(rawValue: $0) }
    }

    static func holdsSlotCall(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard let start = bytes.firstPosition(of: "ioctl(") else { return false }
        let rest = bytes[start...]
        return rest.firstPosition(of: "KVM_SET_USER_MEMORY_REGION") != nil
            || rest.firstPosition(of: "0x4020ae46") != nil
            || rest.firstPosition(of: "0x40a0ae49") != nil
    }
}
