import Glibc
import MemslotProtocol
import TestSupport
import Testing

@testable import MemslotService

extension ServerTests {
    @Suite("framing")
    struct LineBufferTests {
        /// Appends `bytes`, `step` at a time, and removes all lines.
        private func lines(
            _ text: String, step: Int = .max, limit: Int = 100
        ) throws -> [String] {
            var buffer = LineBuffer(lineLimit: limit, descriptorLimit: 16)
            var rest = Array(text.utf8)[...]
            var lines: [String] = []
            while !rest.isEmpty {
                rest = rest.dropFirst(buffer.put(rest.prefix(step)))
                while let line = try buffer.next() {
                    lines.append(String(decoding: buffer.bytes[line.range], as: UTF8.self))
                }
            }
            return lines
        }

        @Test(
            "bytes are cut into the same lines however they come", arguments: [1, 2, 3, 7, 1_000])
        func steps(step: Int) throws {
            let text = "{\"a\":1}\n[2]\r\n\n  \n\r\n{\"b\":\"\r\"}\nrest"
            #expect(
                try lines(text, step: step) == ["{\"a\":1}", "[2]", "{\"b\":\"\r\"}"])
        }

        @Test("a line may be as long as the limit, and not a byte longer")
        func limit() throws {
            let longest = String(repeating: "x", count: 100)
            #expect(try lines(longest + "\n") == [longest])
            #expect(try lines(longest + "\r\n", step: 1) == [longest])
            #expect(throws: LineBuffer.LineTooLong.self) { try lines(longest + "x\n") }
            #expect(throws: LineBuffer.LineTooLong.self) { try lines(longest + "xx", step: 1) }
        }

        @Test("a long line grows the buffer, and the room is released")
        func growth() throws {
            let long = String(repeating: "x", count: 3 << 20)
            var buffer = LineBuffer(lineLimit: 4 << 20, descriptorLimit: 16)
            var rest = Array((long + "\nshort\n").utf8)[...]
            var lengths: [Int] = []
            while !rest.isEmpty {
                rest = rest.dropFirst(buffer.put(rest))
                while let line = try buffer.next() { lengths.append(line.range.count) }
            }
            #expect(lengths == [3 << 20, 5])
            _ = buffer.put(Array("x\n".utf8)[...])
            #expect(buffer.bytes.count < 1 << 20)
        }

        @Test("descriptors belong to the line that holds the last byte they came with")
        func descriptors() throws {
            let pipe = PipeEnds()
            var buffer = LineBuffer(lineLimit: 100, descriptorLimit: 16)
            _ = buffer.put(Array("one\ntwo\nth".utf8)[...])
            buffer.attach([dup(pipe.readEnd)], isTruncated: false)
            _ = buffer.put(Array("ree\nfour\n".utf8)[...])
            buffer.attach([dup(pipe.readEnd), dup(pipe.readEnd)], isTruncated: false)
            var counts: [Int] = []
            while let line = try buffer.next() {
                var count = 0
                while let descriptor = line.descriptors.claim(count) {
                    close(descriptor)
                    count += 1
                }
                counts.append(count)
            }
            #expect(counts == [0, 0, 1, 2])
            #expect(pipe.others == 0)
        }

        @Test("descriptors of several parts of a line are one list, up to the limit")
        func parts() throws {
            for (total, isBad) in [(16, false), (17, true)] {
                let pipe = PipeEnds()
                var buffer = LineBuffer(lineLimit: 100, descriptorLimit: 16)
                for _ in 0..<total {
                    _ = buffer.put([0x78])
                    buffer.attach([dup(pipe.readEnd)], isTruncated: false)
                }
                // The one too many closes them all, without waiting for the line's end.
                #expect(pipe.others == (isBad ? 0 : total))
                _ = buffer.put([0x0A])
                do {
                    let line = try #require(try buffer.next())
                    #expect(line.hasBadDescriptors == isBad)
                    #expect((line.descriptors.claim(15) == nil) == isBad)
                }
                // One was claimed where they are good, all others were closed.
                #expect(pipe.others == (isBad ? 0 : 1))
            }
        }

        @Test("lost descriptors make the line bad, and what came is closed")
        func truncated() throws {
            let pipe = PipeEnds()
            var buffer = LineBuffer(lineLimit: 100, descriptorLimit: 16)
            _ = buffer.put(Array("x\n".utf8)[...])
            buffer.attach([dup(pipe.readEnd)], isTruncated: true)
            let line = try #require(try buffer.next())
            #expect(line.hasBadDescriptors)
            #expect(line.descriptors.claim(0) == nil)
            #expect(pipe.others == 0)
        }
    }
}

extension LineBuffer {
    /// Puts as many of `bytes` in as there is room for.
    fileprivate mutating func put(_ bytes: ArraySlice<UInt8>) -> Int {
        fill { room in
            let count = min(room.count, bytes.count)
            room.copyBytes(from: bytes.prefix(count))
            return count
        }
    }
}
