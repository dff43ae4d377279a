import Glibc
import MemslotVhostUser
import Memslots

/// A front end whose back end sends the input, a piece after each message: its size, then its
/// bytes. A connection that an error has ended must stay closed.
enum ReplyFuzz {
    /// What a back end replies that has memory slots and acknowledges each message.
    static var correctReplies: [UInt8] {
        let protocolFeatures: UInt64 = 1 << 0 | 1 << 3 | 1 << 9 | 1 << 15
        let replies: [(UInt32, [UInt64])?] = [
            nil, (1, [1 << 30 | 1 << 32]), (15, [protocolFeatures]), nil, (17, [2]), (36, [32]),
            (2, [0]), (5, [0]), (37, [0]), (38, [0]), (24, [0, 0, 0]), (1, [0]),
        ]
        return replies.flatMap { reply -> [UInt8] in
            guard let (request, payload) = reply else { return [0] }
            let header: [UInt32] = [request, 5, UInt32(payload.count * 8)]
            let bytes = header.withUnsafeBytes { Array($0) } + payload.withUnsafeBytes { Array($0) }
            return [UInt8(bytes.count)] + bytes
        }
    }

    static func run(_ bytes: [UInt8]) -> String? {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { return nil }
        let peer = ends[1]
        guard let thread = try? OwnThread({ send(FuzzBytes(bytes), on: peer) }) else {
            fatalError("the fuzzer can't have a thread")
        }
        defer { thread.join() }
        return talk(VhostUserFrontEnd(adopting: ends[0]))
    }

    private static func talk(_ front: VhostUserFrontEnd) -> String? {
        defer { front.close() }
        let region = VhostUserRegion(
            guestAddress: GuestPhysicalAddress(0), size: .page, object: 1, fileOffset: .zero)
        var soon: Deadline { .after(.milliseconds(20)) }
        do throws(VhostUserError) {
            _ = try front.open(by: soon)
            try front.set(.version1, by: soon)
            try front.setTable([(region, 0)], by: soon)
            try front.add(region, descriptor: 0, by: soon)
            try front.remove(region, by: soon)
            _ = try front.configuration(at: 0, count: 12, by: soon)
            try front.confirm(by: soon)
            return nil
        } catch {
            if front.isOpen { return nil }
        }
        do throws(VhostUserError) { try front.confirm(by: soon) } catch {
            if case .closed = error { return nil }
        }
        return "a closed connection is used"
    }

    /// Sends a piece for each message, and hangs up after the last one.
    private static func send(_ input: FuzzBytes, on peer: Int32) {
        var (input, received) = (input, [UInt8](repeating: 0, count: 4_096))
        while !input.isAtEnd, recv(peer, &received, received.count, 0) > 0 {
            let piece = Array(input.bytes(Int(input.byte())))
            let count = Glibc.send(peer, piece, piece.count, Int32(MSG_NOSIGNAL))
            if count != piece.count { break }
        }
        close(peer)
    }
}
