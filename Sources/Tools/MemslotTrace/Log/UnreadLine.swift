/// What a line that no reader understood may hide. "No memory was missing" needs the proof that
/// nothing was overlooked, so in doubt a line counts.
enum UnreadLine {
    /// What counts such lines; `nil` for a line that hides nothing. A line `isTraced` if strace's
    /// thread or time is at its start: it may be a slot call, or an entry into the guest.
    static func counter(_ bytes: ArraySlice<UInt8>, isTraced: Bool) -> TraceCounts.Count? {
        guard bytes.first != UInt8(ascii: "#") else { return nil }
        if isGap(bytes) { return .gaps }
        let mayBeCall =
            isTraced || bytes.firstPosition(of: "KVM_SET_USER_MEMORY_REGION") != nil
            || bytes.firstPosition(of: "kvm_set_user_memory") != nil
        return mayBeCall ? .unreadLines : nil
    }

    /// `[...]`, `<snip>`, `… 4213 lines omitted`.
    private static func isGap(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.count < 120 else { return false }
        let text = bytes.text.lowercased()
        let words = text.drop { " \t[(<{-*.…".contains($0) }
        if words.hasPrefix("snip") || words.hasPrefix("truncated") { return true }
        if words.allSatisfy({ " \t])>}-*.…".contains($0) }) {
            return text.contains("...") || text.contains("…")
        }
        return text.contains("lines")
            && ["omitted", "skipped", "deleted", "removed", "more"].contains { text.contains($0) }
    }

    /// Whether a call that is cut before its result may be a slot call or a `KVM_RUN`.
    static func mayMatter(cut bytes: ArraySlice<UInt8>) -> Bool {
        guard let start = bytes.firstPosition(of: "ioctl(") else { return false }
        var scanner = ByteScanner(bytes[start...])
        guard scanner.skip(past: ", ") else { return true }
        let name = scanner.rest.prefix { $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: ")") }
        if name.endIndex == bytes.endIndex { return true }
        var request = ByteScanner(name)
        return KVMRequest.read(&request).map { $0 != .createVM } ?? false
    }
}
