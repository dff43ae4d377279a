import Foundation
import MemslotProtocol
import MemslotScenario
import Memslots
import Testing

@Suite("A raw operation")
struct RawOperationTests {
    private func read(_ text: String) throws -> RawCallLine {
        try RawCallLine(line: Array(text.utf8), number: 7)
    }

    private func line(_ more: String) -> String {
        #"{"slot":1,"flags":0,"guest_phys_addr":0,"memory_size":0,"userspace_addr":0\#(more)}"#
    }

    @Test("every vector is read, and written as it was but for its numbers' form")
    func vectors() throws {
        let files = ScenarioReaderTests.files(in: ["vectors"])
        #expect(!files.isEmpty)
        for file in files {
            let descriptor = open(file.path, O_RDONLY)
            defer { close(descriptor) }
            var lines = LineReader(descriptor: descriptor)
            var replies: Set<RawReply> = []
            while let bytes = try lines.next() {
                let operation = try RawCallLine(line: bytes, number: lines.lineNumber)
                replies.insert(try #require(operation.expected))
                var writer = JSONWriter()
                writer.rawCall(operation)
                #expect(try RawCallLine(line: writer.bytes, number: 1) == operation)
            }
            #expect(lines.lineNumber > 700)
            #expect(replies.isSuperset(of: [RawReply(nil), RawReply(.invalidArgument)]))
        }
    }

    @Test("the words have the kernel's widths, as numbers or strings")
    func widths() throws {
        let operation = try read(
            #"{"slot":"0xffffffff","flags":4294967295,"guest_phys_addr":18446744073709551615,"memory_size":"18446744073709551615","userspace_addr":"0xFFFFFFFFFFFFFFFF"}"#
        )
        #expect(
            try operation.region
                == RawRegion(
                    slot: .max, flags: .max, guestPhysicalAddress: .max, memorySize: .max,
                    userspaceAddress: .max))
        #expect(operation.expected == nil)
    }

    @Test(
        "a guest_memfd makes it the newer call",
        arguments: [
            ("gmem:0", RawGuestMemfd.file(index: 0)), ("gmem:4294967295", .file(index: .max)),
            ("kvm", .kvm), ("vm", .vm), ("memfd", .memfd), ("other-vm", .otherVM), ("none", .none),
        ])
    func guestMemfd(name: String, file: RawGuestMemfd) throws {
        let operation = try read(
            line(",\"guest_memfd\":\"\(name)\",\"guest_memfd_offset\":\"0x1000\""))
        #expect(try operation.region.guestMemfd == file)
        #expect(try operation.region.guestMemfdOffset == 0x1000)
        #expect(file.wireName == name)
        #expect(try read(line(",\"guest_memfd\":\"\(name)\"")).region.guestMemfdOffset == 0)
    }

    @Test("the expected reply is an errno or null")
    func expected() throws {
        #expect(try read(line(",\"errno\":null")).expected == RawReply(nil))
        #expect(try read(line(",\"errno\":\"EEXIST\"")).expected == RawReply(.fileExists))
    }

    @Test(
        "a line that is not a raw operation is an error with line and column",
        arguments: [
            ("", 1), ("{}", 1), ("7", 1), (#"{"slot":4294967296}"#, 9), (#"{"slot":-1}"#, 9),
            (#"{"slot":1,"flags":"0x100000000"}"#, 19), (#"{"slot":1.0}"#, 9),
            (#"{"slot":1,"flgas":0}"#, 11), (#"{"slot":1,"slot":1}"#, 11),
            (#"{"guest_phys_addr":18446744073709551616}"#, 20), (#"{"guest_memfd":"gmem:"}"#, 16),
            (#"{"guest_memfd":"gmem:-1"}"#, 16), (#"{"guest_memfd":"gmem:+1"}"#, 16),
            (#"{"guest_memfd":"gmem:4294967296"}"#, 16), (#"{"guest_memfd":null}"#, 16),
            (#"{"errno":"EWHAT"}"#, 10), (#"{"errno":17}"#, 10),
        ])
    func unusable(text: String, column: Int) {
        let error = #expect(throws: UnusableInput.self) { try read(text) }
        #expect(error?.line == 7)
        #expect(error?.column == column, "\(error?.message ?? "")")
    }

    @Test("an offset without its file is unusable")
    func offset() {
        #expect(throws: UnusableInput.self) { try read(line(",\"guest_memfd_offset\":0")) }
    }

    @Test("a reply is one line")
    func replies() {
        var writer = JSONWriter()
        writer.reply(RawReply(nil))
        writer.reply(RawReply(.fileExists))
        #expect(
            String(decoding: writer.bytes, as: UTF8.self)
                == "{\"errno\":null}\n{\"errno\":\"EEXIST\"}\n")
    }
}

extension RawCallLine {
    /// The arguments of the line's slot call.
    var region: RawRegion {
        get throws {
            guard case .setRegion(let region) = call else {
                throw UnusableInput(line: 0, column: 0, message: "not a slot call")
            }
            return region
        }
    }
}
