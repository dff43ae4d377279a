import Foundation
import Glibc
import MemslotProtocol
import Testing

@testable import MemslotService

extension ServerTests {
    @Suite("the sending half of a connection")
    struct SenderTests {
        private let threads = ConnectionThreads(limit: 2)
        private let (own, peer): (Int32, Int32)

        init() throws {
            signal(SIGPIPE, SIG_IGN)
            var ends: [Int32] = [0, 0]
            try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
            (own, peer) = (ends[0], ends[1])
        }

        private func sender(_ budget: Budget? = nil) -> Sender {
            Sender(
                to: own, isSocket: true, threads: threads, byteLimit: 1 << 20,
                user: 1, budget: budget ?? Budgets(ServiceLimits()).unreadReplyBytes)
        }

        private func line(_ text: String, _ descriptors: [Int32] = []) -> ReplyEncoder {
            var writer = JSONWriter()
            writer.string(text)
            return ReplyEncoder(writer, descriptors: PassedDescriptors(descriptors))
        }

        @Test("events wait for a reply that holds them, also while another thread flushes")
        func heldEvents() {
            let sender = sender()
            let queue = EventQueue(limit: 8) { sender.recordEvent() }
            sender.attach(queue)
            sender.holdEvents()
            queue.enqueue(Array("\"event\"".utf8))
            sender.flush()
            sender.enqueue(line("answer"), Sender.Room())
            sender.flush()
            sender.releaseEvents()
            sender.finish()
            sender.close()
            close(own)
            var bytes = [UInt8](repeating: 0, count: 100)
            var text = ""
            while case let count = read(peer, &bytes, bytes.count), count > 0 {
                text += String(decoding: bytes[..<count], as: UTF8.self)
            }
            close(peer)
            #expect(text == "\"answer\"\n\"event\"\n")
        }

        @Test("a descriptor for a peer that has gone is closed")
        func brokenConnection() {
            let sender = sender()
            close(peer)
            sender.enqueue(line("nobody reads this"), Sender.Room())
            sender.flush()
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
            sender.enqueue(line("nor this", [ends[1]]), Sender.Room())
            // The end of the pipe: its other side is closed everywhere.
            var byte: UInt8 = 0
            #expect(read(ends[0], &byte, 1) == 0)
            close(ends[0])
            sender.close()
            close(own)
        }

        @Test("unsent bytes are counted until each parcel is recorded as sent")
        func unsentBytes() {
            var outbox = Outbox()
            #expect(outbox.isEmpty)
            for text in ["one", "two"] {
                Array(text.utf8).withUnsafeBytes { outbox.append($0) }
            }
            outbox.append(complete: Array("three\n".utf8))
            Array("four".utf8).withUnsafeBytes { outbox.append($0) }
            #expect(outbox.byteCount == 19)
            var parcels: [Outbox.Parcel] = []
            while let parcel = outbox.removeFirst() { parcels.append(parcel) }
            #expect(
                parcels.map { String(decoding: $0.bytes, as: UTF8.self) }
                    == ["one\ntwo\n", "three\n", "four\n"])
            #expect(outbox.isEmpty && outbox.byteCount == 19)
            for (parcel, left) in zip(parcels, [11, 5, 0]) {
                outbox.recordSent(parcel)
                #expect(outbox.byteCount == left)
            }
            Array("five".utf8).withUnsafeBytes { outbox.append($0) }
            let last = outbox.removeFirst()
            #expect(last?.bytes == Array("five\n".utf8))
        }
    }
}
