import Memslots

/// One `KVM_SET_USER_MEMORY_REGION` or `…REGION2` in a log.
struct StraceSlotCall {
    enum Answer: Hashable {
        case succeeded
        /// With the errno's name, or what strace printed for it.
        case failed(String)
        /// strace printed `?`: the call never came back.
        case none
    }

    var descriptor: Int32
    /// The words; `nil` where strace printed a pointer.
    var region: RawRegion?
    var answer: Answer
}

/// Where in a call's text reading failed, and what should stand there.
struct StraceSyntaxError: Error {
    var offset: Int
    var expected: String
}

extension StraceSlotCall {
    /// Reads what follows the request.
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
            // Of a call that the process's end cut off strace may tell what is left in a register.
            answer = result == 0 ? .succeeded : .none
        }
        self.descriptor = descriptor
        self.region = region
        self.answer = answer
    }
}
