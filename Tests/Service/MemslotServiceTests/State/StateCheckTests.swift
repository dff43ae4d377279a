import Foundation
import Glibc
import MemslotProtocol
import TestSupport
import Testing
import WireTestSupport

@testable import MemslotService

@Suite("the check of a stopped daemon's state")
struct StateCheckTests {
    /// Creates a directory with the VM `a`, and returns its record.
    private func record(in scratch: ScratchDirectory) throws -> [UInt8] {
        let service = try KeptService(scratch)
        try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
        try service.ask(
            "memslots.submit",
            #"{"vm":"a","slots":[{"guestPhysicalAddress":0,"size":4096,"userspaceAddress":4096}]}"#)
        return try scratch.stateBytes("vm-1.state")
    }

    @Test("any one changed byte and any cut within the checksum is restored, and nothing else")
    func restored() throws {
        let whole = try record(in: ScratchDirectory())
        var faults: [String] = []
        for index in whole.indices {
            for change: UInt8 in [1, 0x80, 0x2A] {
                var bytes = whole
                bytes[index] ^= change
                if SealedText.restored(bytes) != whole { faults.append("\(change) at \(index)") }
            }
            let isWithin = index >= whole.count - SealedText.sealLength
            let cut = SealedText.restored(Array(whole[..<index]))
            if cut != (isWithin ? whole : nil) { faults.append("cut at \(index)") }
        }
        for index in stride(from: 0, to: whole.count - 7, by: 5) {
            var bytes = whole
            bytes[index] ^= 1
            bytes[index + 7] ^= 1
            if SealedText.restored(bytes) != nil { faults.append("two from \(index)") }
        }
        #expect(faults.isEmpty, "\(faults.count): \(faults.prefix(5))")
    }

    @Test("repair writes the record, keeps the damaged file, and the VM returns")
    func repair() throws {
        for isSetAside in [false, true] {
            let scratch = try ScratchDirectory()
            var bytes = try record(in: scratch)
            let before = try KeptService(scratch).all()
            bytes[70] ^= 0x55
            try scratch.writeState(bytes, "vm-1.state")
            if isSetAside { #expect(try KeptService(scratch).notes.count == 1) }
            let name = isSetAside ? "vm-1.state.damaged-1" : "vm-1.state"
            for _ in 1...2 {
                let found = try StateCheck.run(at: scratch.state, repairs: false)
                #expect(found.map(\.file) == [name] && found[0].isLoss)
                #expect(found[0].text.contains(#"repair restores VM "a" of user \#(getuid())"#))
            }
            #expect(try StateCheck.run(at: scratch.state, repairs: true).map(\.isLoss) == [false])
            #expect(scratch.stateFiles == ["vm-1.state", "vm-1.state.damaged-1"])
            #expect(try scratch.stateBytes("vm-1.state.damaged-1") == bytes)
            let after = try StateCheck.run(at: scratch.state, repairs: true)
            #expect(after.map(\.isLoss) == [false, false])
            #expect(try KeptService(scratch).all() == before)
        }
    }

    @Test("what can't be repaired stays, also where an older file can")
    func unrepairable() throws {
        let scratch = try ScratchDirectory()
        var older = try record(in: scratch)
        let torn = Array(older[..<50])
        older[70] ^= 0x55
        try scratch.writeState(torn, "vm-1.state")
        let alone = try StateCheck.run(at: scratch.state, repairs: true)
        #expect(alone.map(\.isLoss) == [true] && alone[0].text.contains("can't be repaired"))
        #expect(try scratch.stateBytes("vm-1.state") == torn)
        try scratch.writeState(older, "vm-1.state.damaged-1")
        let both = try StateCheck.run(at: scratch.state, repairs: true)
        #expect(both.map(\.isLoss) == [true, false])
        #expect(try scratch.stateBytes("vm-1.state.damaged-1") == older)
        #expect(try scratch.stateBytes("vm-1.state.damaged-2") == torn)
    }

    @Test("memory that is missing, cut, unfinished or without a record is found")
    func memory() throws {
        let scratch = try ScratchDirectory()
        do {
            let service = try KeptService(scratch)
            try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
            try service.ask(
                "memory.create", #"{"vm":"a","memory":"ram","size":8192,"backing":"memfd"}"#)
        }
        func check() throws -> [StateCheck.Finding] {
            try StateCheck.run(at: scratch.state, repairs: false)
        }
        #expect(try check().map(\.isLoss) == [false])
        truncate(scratch.state + "/vm-1.memory-1", 4_096)
        #expect(try check()[0].isLoss && check()[0].text.contains("has 4096 bytes, not 8192"))
        unlink(scratch.state + "/vm-1.memory-1")
        #expect(try check()[0].isLoss && check()[0].text.contains("vm-1.memory-1, its memory"))
        try scratch.writeState([1], "vm-1.memory-2")
        try scratch.writeState([1], "vm-2.memory-1")
        let found = try check()
        #expect(found.map(\.file) == ["vm-1.state", "vm-1.memory-2", "vm-2.memory-1"])
        #expect(found.map(\.isLoss) == [true, false, true])
    }

    @Test("server.info shows whether a damaged record can be repaired, or need not be")
    func advice() throws {
        let scratch = try ScratchDirectory()
        var bytes = try record(in: scratch)
        bytes[70] ^= 0x55
        try scratch.writeState(bytes, "vm-1.state")
        try scratch.writeState([1], "vm-2.state")
        func repairs() throws -> [String?] {
            let info = try KeptService(scratch).ask("server.info", "{}")
            let state = try JSONDocument(parsing: Array(info.utf8)).root["state"]
            return state?["damaged"]?.elements.map { $0["repair"]?.string } ?? []
        }
        for _ in 1...2 { #expect(try repairs() == ["possible", "impossible"]) }
        _ = try StateCheck.run(at: scratch.state, repairs: true)
        #expect(try repairs() == ["unneeded", "impossible"])
    }

    @Test("a damaged record is reported at every start until it is removed")
    func everyStart() throws {
        let scratch = try ScratchDirectory()
        try scratch.writeState([1], "vm-1.state")
        for start in 1...3 {
            let service = try KeptService(scratch)
            #expect(service.notes.count == 1, "start \(start)")
            let info = try service.ask("server.info", "{}")
            #expect(info.contains("vm-1.state.damaged-1"), "start \(start)")
            #expect(info.contains("the checksum does not match"), "start \(start)")
        }
        unlink(scratch.state + "/vm-1.state.damaged-1")
        #expect(try KeptService(scratch).notes.isEmpty)
    }

    @Test("a directory in use, and one that no daemon has used, are refused and left as they are")
    func refused() throws {
        let scratch = try ScratchDirectory()
        _ = try record(in: scratch)
        let service = try KeptService(scratch)
        #expect { try StateCheck.run(at: scratch.state, repairs: true) } throws: {
            "\($0)".contains("a server that runs keeps its state here")
        }
        service.end()
        #expect(try StateCheck.run(at: scratch.state, repairs: false).map(\.isLoss) == [false])
        let empty = try ScratchDirectory()
        for path in [empty.path, empty.path("none")] {
            #expect(throws: StateError.self) { try StateCheck.run(at: path, repairs: true) }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: empty.path).isEmpty)
    }
}
