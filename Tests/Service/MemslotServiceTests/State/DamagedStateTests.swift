import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite("a damaged state")
struct DamagedStateTests {
    /// Creates a directory with one VM.
    ///
    /// - Returns: the directory, and what the wire showed of the VM.
    private func model() throws -> (scratch: ScratchDirectory, before: String) {
        let scratch = try ScratchDirectory()
        let service = try KeptService(scratch)
        try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
        try service.ask(
            "memslots.submit",
            #"{"vm":"a","slots":[{"guestPhysicalAddress":0,"size":4096,"userspaceAddress":4096}]}"#)
        return (scratch, try service.all())
    }

    @Test("every flipped bit and every truncation is detected and reported")
    func everyByte() throws {
        let (scratch, before) = try model()
        let whole = try scratch.stateBytes("vm-1.state")
        var texts = (0..<whole.count).map { Array(whole[..<$0]) }
        for index in whole.indices {
            for bit in 0..<8 {
                var text = whole
                text[index] ^= 1 << UInt8(bit)
                texts.append(text)
            }
        }
        texts.append(whole + [10])
        texts.append(whole + whole)
        var faults: [String] = []
        for (index, text) in texts.enumerated() {
            let other = try ScratchDirectory()
            try other.writeState(text, "vm-1.state")
            let service = try KeptService(other)
            let isReported = service.notes.contains {
                if case .damaged("vm-1.state", "vm-1.state.damaged-1", _) = $0 {
                    true
                } else {
                    false
                }
            }
            // Called once, because each call opens /dev/kvm.
            let info =
                index > 0
                ? #""damaged":[{"file":"vm-1.state.damaged-1""#
                : try service.call("server.info", "{}")
            let list = try service.ask("vm.list", "{}")
            let isKept = try other.stateBytes("vm-1.state.damaged-1") == text
            if !isReported || !isKept
                || !info.contains(#""damaged":[{"file":"vm-1.state.damaged-1""#)
                || !list.hasSuffix("[]}")
            {
                faults.append("variant \(index): \(service.notes)")
            }
        }
        #expect(faults.isEmpty, "\(faults.prefix(3))")
        #expect(texts.count > whole.count * 9)
        print("\(texts.count) damaged records visited")
        #expect(try KeptService(scratch).all() == before)
    }

    @Test("a record with a valid checksum and invalid contents is set aside")
    func nonsense() throws {
        let (scratch, _) = try model()
        let whole = String(
            decoding: try scratch.stateBytes("vm-1.state").dropLast(24), as: UTF8.self)
        let changes: [(String, String)] = [
            (#""version":1"#, #""version":2"#), ("memslotd-state", "something"),
            (#""number":1"#, #""number":2"#), (#""number":1"#, #""number":18446744073709551616"#),
            (#""user":0"#, #""user":4294967296"#), (#""user":0"#, #""user":-1"#),
            (#""generation":1"#, #""generation":18446744073709551615"#),
            (#""generation":1"#, #""generation":"1""#),
            (#""backend":"simulated""#, #""backend":"auto""#),
            (#""backend":"simulated""#, #""backend":"simulated","ephemeral":true"#),
            (#""vm":"a""#, #""vm":"b/c""#), (#""vm":"a""#, #""vm":7"#),
            (#""maxSlots":32764"#, #""maxSlots":0"#),
            (#""memories":[]"#, #""memories":7"#), (#""memories":[]"#, #""memories":[7]"#),
            (
                #""memories":[]"#,
                #""memories":[{"id":1,"memory":"m","size":4096,"pageSize":4096,"kept":"file"}]"#
            ),
            (
                #""lastMemory":0"#,
                #""lastMemory":4294967296"#
            ),
            (#""slots":["#, #""slots":[7,"#), ("\"slots\":[{", "\"slots\":[{\"x\":1,"),
            (whole, ""), (whole, "[]"), (whole, "{}"),
            (whole, String(repeating: "[", count: 100_000)),
        ]
        for (old, new) in changes {
            let text = whole.replacingOccurrences(of: old, with: new)
            try #require(text != whole, "\(old) is not in \(whole)")
            let other = try ScratchDirectory()
            try other.writeState(Self.seal(text + "\n"), "vm-1.state")
            let service = try KeptService(other)
            #expect(try service.ask("vm.list", "{}") == #"{"vms":[]}"#, "\(new)")
            #expect(other.stateFiles == ["vm-1.state.damaged-1"], "\(new)")
            #expect(service.notes.count == 1)
        }
    }

    @Test("an array that no VM can have stays in its record, and is reported")
    func impossible() throws {
        let (scratch, _) = try model()
        let whole = String(
            decoding: try scratch.stateBytes("vm-1.state").dropLast(24), as: UTF8.self)
        for (old, new) in [
            (#""size":"0x1000""#, #""size":"0x1001""#),
            (#""userspaceAddress":"0x1000""#, #""memory":"none""#),
            (#""generation":1"#, #""generation":0"#),
        ] {
            let other = try ScratchDirectory()
            let text = whole.replacingOccurrences(of: old, with: new)
            try #require(text != whole)
            try other.writeState(Self.seal(text + "\n"), "vm-1.state")
            let service = try KeptService(other)
            #expect(try service.ask("vm.list", "{}") == #"{"vms":[]}"#)
            #expect(try service.ask("server.info", "{}").contains(#""unrestored":[{"vm":"a""#))
            #expect(other.stateFiles == ["vm-1.state"])
        }
    }

    @Test("two memory objects of one id or one name are invalid")
    func sharedNumber() throws {
        let (scratch, _) = try model()
        let whole = String(
            decoding: try scratch.stateBytes("vm-1.state").dropLast(24), as: UTF8.self)
        for (second, isSound) in [((1, "n"), false), ((2, "m"), false), ((2, "n"), true)] {
            let memories = [(1, "m"), second].map { id, name in
                #"{"id":\#(id),"memory":"\#(name)","size":4096,"pageSize":4096,"kept":"file"}"#
            }
            let text =
                whole
                .replacingOccurrences(
                    of: #""memories":[]"#,
                    with: #""memories":[\#(memories.joined(separator: ","))]"#
                ).replacingOccurrences(of: #""lastMemory":0"#, with: #""lastMemory":2"#)
            let other = try ScratchDirectory()
            try other.writeState(Self.seal(text + "\n"), "vm-1.state")
            _ = try KeptService(other)
            #expect(
                other.stateFiles == [isSound ? "vm-1.state" : "vm-1.state.damaged-1"], "\(second)")
        }
    }

    @Test("a damaged record does not replace an older damaged one")
    func olderOne() throws {
        let scratch = try ScratchDirectory()
        try scratch.writeState([1], "vm-1.state.damaged-1")
        try scratch.writeState([2], "vm-1.state")
        _ = try KeptService(scratch)
        #expect(scratch.stateFiles == ["vm-1.state.damaged-1", "vm-1.state.damaged-2"])
        #expect(try scratch.stateBytes("vm-1.state.damaged-1") == [1])
        #expect(try scratch.stateBytes("vm-1.state.damaged-2") == [2])
    }

    @Test("a second record of one VM is set aside")
    func twice() throws {
        let (scratch, before) = try model()
        let whole = String(
            decoding: try scratch.stateBytes("vm-1.state").dropLast(24), as: UTF8.self)
        let text = whole.replacingOccurrences(of: #""number":1"#, with: #""number":2"#)
        try scratch.writeState(Self.seal(text + "\n"), "vm-2.state")
        let service = try KeptService(scratch)
        #expect(try service.all() == before)
        #expect(scratch.stateFiles == ["vm-1.state", "vm-2.state.damaged-1"])
    }

    @Test(
        "memory without a valid record stays and is reported; what its VM's record lacks is removed"
    )
    func orphans() throws {
        let (scratch, _) = try model()
        // The end of a VM that was cut after its first step.
        try scratch.writeState([1], "vm-4.state.removed")
        try scratch.writeState([1], "vm-3.state")
        for vm in 1...4 { try scratch.writeState([1], "vm-\(vm).memory-1") }
        let service = try KeptService(scratch)
        #expect(
            scratch.stateFiles == [
                "vm-1.state", "vm-2.memory-1", "vm-3.memory-1", "vm-3.state.damaged-1",
            ])
        for vm in [2, 3] {
            #expect(
                service.notes.contains(
                    .orphan(file: "vm-\(vm).memory-1", record: "vm-\(vm).state")))
        }
        for name in ["vm-1.memory-1", "vm-4.memory-1", "vm-4.state.removed"] {
            #expect(service.notes.contains(.unfinished(file: name)))
        }
    }

    @Test("memory that only a record which was set aside may name stays")
    func older() throws {
        let (scratch, _) = try model()
        // An older copy of the record was put back.
        try scratch.writeState([1], "vm-1.state.damaged-1")
        try scratch.writeState([1], "vm-1.memory-1")
        do {
            let service = try KeptService(scratch)
            #expect(
                scratch.stateFiles == ["vm-1.memory-1", "vm-1.state", "vm-1.state.damaged-1"])
            #expect(service.notes.contains(.orphan(file: "vm-1.memory-1", record: "vm-1.state")))
        }
        let findings = try StateCheck.run(at: scratch.state, repairs: false)
        #expect(findings.last?.file == "vm-1.memory-1" && findings.last?.isLoss == true)
    }

    @Test("memory of a damaged record, and memory without any record, stay")
    func memory() throws {
        let scratch = try ScratchDirectory()
        try scratch.writeState([1], "vm-1.state")
        try scratch.writeState([1], "vm-1.memory-1")
        try scratch.writeState([1], "vm-2.memory-1")
        try scratch.writeState([1], "vm-3.state.new")
        // These names are not ours.
        for name in ["something else", "vm-02.memory-1", "vm-2.memory-01", "vm-+2.memory-1"] {
            try scratch.writeState([1], name)
        }
        let service = try KeptService(scratch)
        #expect(
            scratch.stateFiles == [
                "something else", "vm-+2.memory-1", "vm-02.memory-1", "vm-1.memory-1",
                "vm-1.state.damaged-1", "vm-2.memory-01", "vm-2.memory-1",
            ])
        // No number is used twice, not even that of a damaged record.
        try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
        #expect(scratch.stateFiles.contains("vm-4.state"))
    }

    @Test("links, pipes and directories in place of a record are not opened")
    func notAFile() throws {
        let scratch = try ScratchDirectory()
        try scratch.writeState([], "x")
        let target = scratch.path + "/target"
        _ = FileManager.default.createFile(atPath: target, contents: Data("secret".utf8))
        symlink(target, scratch.state + "/vm-1.state")
        mkfifo(scratch.state + "/vm-2.state", 0o600)
        mkdir(scratch.state + "/vm-3.state", 0o700)
        let service = try KeptService(scratch)
        #expect(service.notes.count == 3)
        #expect(try service.ask("vm.list", "{}") == #"{"vms":[]}"#)
        #expect(FileManager.default.contents(atPath: target) == Data("secret".utf8))
    }

    @Test("a link to a valid record elsewhere is not followed")
    func linkToRecord() throws {
        let (other, _) = try model()
        let scratch = try ScratchDirectory()
        try scratch.writeState([], "x")
        symlink(other.state + "/vm-1.state", scratch.state + "/vm-1.state")
        let service = try KeptService(scratch)
        #expect(service.notes.count == 1)
        #expect(try service.ask("vm.list", "{}") == #"{"vms":[]}"#)
    }

    /// Adds the checksum, computed bit by bit from the definition of CRC-64/XZ.
    static func seal(_ text: String) -> [UInt8] {
        var register = UInt64.max
        for byte in text.utf8 {
            register ^= UInt64(byte)
            for _ in 0..<8 {
                register = register & 1 == 1 ? register >> 1 ^ 0xC96C_5795_D787_0F42 : register >> 1
            }
        }
        let digits = String(~register, radix: 16)
        let zeros = String(repeating: "0", count: 16 - digits.count)
        return Array((text + "crc64=\(zeros)\(digits)\n").utf8)
    }
}

@Suite("a state directory")
struct StateDirectoryTests {
    @Test("the directory and its files are private")
    func modes() throws {
        let scratch = try ScratchDirectory()
        let service = try KeptService(scratch)
        try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
        try service.ask(
            "memory.create", #"{"vm":"a","memory":"ram","size":4096,"backing":"memfd"}"#)
        for (name, mode) in [
            ("", 0o40700), ("/lock", 0o100600), ("/vm-1.state", 0o100600),
            ("/vm-1.memory-1", 0o100600),
        ] {
            var status = stat()
            #expect(stat(scratch.state + name, &status) == 0)
            #expect(Int(status.st_mode) == mode, "\(name)")
        }
    }

    @Test("a commit leaves no file beside the record")
    func oneRecord() throws {
        let scratch = try ScratchDirectory()
        let service = try KeptService(scratch)
        try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
        for page in 1...2 {
            let submitted = try service.ask(
                "memslots.submit",
                #"{"vm":"a","slots":[{"guestPhysicalAddress":0,"size":4096,"userspaceAddress":\#(page * 4_096)}]}"#
            )
            #expect(submitted.contains("committed"))
            #expect(scratch.stateFiles == ["vm-1.state"])
        }
    }

    @Test("one that others may open, or that another server uses, is refused")
    func refused() throws {
        let scratch = try ScratchDirectory()
        mkdir(scratch.state, 0o755)
        for right in 0..<6 as Range<mode_t> {
            chmod(scratch.state, 0o700 | 1 << right)
            #expect(throws: StateError.self, "\(right)") { try StateStore(at: scratch.state) }
        }
        chmod(scratch.state, 0o700)
        let store = try StateStore(at: scratch.state)
        #expect {
            try StateStore(at: scratch.state)
        } throws: {
            "\($0)".contains("a server that runs keeps its state here")
        }
        _ = consume store
        _ = try StateStore(at: scratch.state)
        #expect(throws: StateError.self) { try StateStore(at: scratch.path + "/no/such") }
    }

    @Test(
        "another user's is refused",
        .enabled(if: getuid() == 0, "only root can give a directory away"))
    func otherUser() throws {
        let scratch = try ScratchDirectory()
        mkdir(scratch.state, 0o700)
        chown(scratch.state, 1_234, 1_234)
        #expect(throws: StateError.self) { try StateStore(at: scratch.state) }
    }
}
