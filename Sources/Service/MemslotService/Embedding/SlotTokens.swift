internal import MemslotProtocol
internal import Memslots

/// Names slots whose memory has no name, without telling where it is.
///
/// A token is a keyed hash of the whole slot, so that it stands for that slot only, and nothing
/// can be read from it.
struct SlotTokens: Sendable {
    // Of this VM alone; `Hasher` has a key of this process besides.
    private let secret = (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max))

    /// The token of `slot`.
    func token(of slot: Memslot) -> String {
        let halves = [secret.0, secret.1].map { secret in
            var hasher = Hasher()
            hasher.combine(secret)
            hasher.combine(slot)
            return UInt64(bitPattern: Int64(hasher.finalize()))
        }
        return halves.map { half in
            let digits = String(half, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
