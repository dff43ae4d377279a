import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import Synchronization
import TestSupport
import Testing
import WireTestSupport

@Suite("a restored service")
struct RestoredServiceTests {
    @Test("VMs are restored with their users, generations, ids, limits and memory")
    func everything() throws {
        let scratch = try ScratchDirectory()
        var before = ""
        do {
            let service = try KeptService(scratch)
            try service.ask(
                "vm.create",
                #"{"vm":"ü b","backend":"simulated","simulated":{"maxSlots":9,"#
                    + #""flags":["readonly","guest-memfd"],"guestPhysicalBits":40}}"#,
                user: 7)
            try service.ask(
                "memory.create",
                #"{"vm":"ü b","memory":"private","size":8192,"backing":"guest-memfd"}"#, user: 7)
            try service.ask(
                "memory.create", #"{"vm":"ü b","memory":"ram","size":8192,"backing":"memfd"}"#,
                user: 7)
            try service.ask(
                "memory.create",
                #"{"vm":"ü b","memory":"both","size":8192,"backing":"guest-memfd","shared":true}"#,
                user: 7)
            for size in [4_096, 8_192] {
                try service.ask(
                    "memslots.submit",
                    #"{"vm":"ü b","slots":[{"slot":8,"guestPhysicalAddress":0,"size":\#(size),"#
                        + #""flags":["guest-memfd"],"guestMemfd":"private","#
                        + #""userspaceAddress":4096},{"guestPhysicalAddress":"0x10000","#
                        + #""size":4096,"memory":"ram","memoryOffset":4096,"#
                        + #""flags":["readonly"]},{"guestPhysicalAddress":"0x20000","#
                        + #""size":4096,"memory":"both","flags":["guest-memfd"]}]}"#, user: 7)
            }
            try service.ask("vm.create", #"{"vm":"empty","backend":"simulated"}"#)
            before = try service.all()
            #expect(before.contains(#""generation":2"#))
            #expect(before.contains(#""guestMemfd":"both","guestMemfdOffset":"0x0""#))
        }
        let service = try KeptService(scratch)
        #expect(try service.all() == before)
        // The VM has its own limits again, and generations and ids continue.
        let refused = try service.call(
            "memslots.submit",
            #"{"vm":"ü b","slots":[{"slot":9,"guestPhysicalAddress":0,"size":4096,"#
                + #""userspaceAddress":4096}]}"#, user: 7)
        #expect(refused.contains("slot-out-of-range"))
        let next = try service.ask("memslots.submit", #"{"vm":"ü b","slots":[]}"#, user: 7)
        #expect(next.contains(#""generation":3"#))
        #expect(
            try service.call(
                "memory.create", #"{"vm":"ü b","memory":"ram","size":4096,"backing":"memfd"}"#,
                user: 7
            ).contains("memory-exists"))
    }

    @Test("restored memory counts for its user, even beyond a lower limit")
    func accounts() throws {
        let scratch = try ScratchDirectory()
        do {
            let service = try KeptService(scratch)
            try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
            try service.ask(
                "memory.create", #"{"vm":"a","memory":"ram","size":8192,"backing":"memfd"}"#)
        }
        var limits = ServiceLimits()
        limits.memoryBytesPerPeer = 4_096
        let service = try KeptService(scratch, limits: limits)
        #expect(try service.ask("memory.list", #"{"vm":"a"}"#).contains("ram"))
        let refused = try service.call(
            "memory.create", #"{"vm":"a","memory":"more","size":4096,"backing":"memfd"}"#)
        #expect(refused.contains("memoryBytesPerPeer"))
        try service.ask("memory.destroy", #"{"vm":"a","memory":"ram"}"#)
        try service.ask(
            "memory.create", #"{"vm":"a","memory":"more","size":4096,"backing":"memfd"}"#)
    }

    @Test("memory that can't be stored is refused with the reason, except for an ephemeral VM")
    func unkeepable() throws {
        let scratch = try ScratchDirectory()
        let service = try KeptService(scratch)
        try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
        try service.ask("vm.create", #"{"vm":"e","backend":"simulated","ephemeral":true}"#)
        try service.ask(
            "memory.create", #"{"vm":"a","memory":"ram","size":4096,"backing":"memfd"}"#)
        try service.ask(
            "memory.create", #"{"vm":"e","memory":"ram","size":4096,"backing":"memfd"}"#)
        let exported = try service.call("memory.export", #"{"vm":"a","memory":"ram"}"#)
        #expect(exported.contains("can't be sealed against shrinking"))
        #expect(
            try service.call("memory.export", #"{"vm":"e","memory":"ram"}"#).contains(#""fd":0"#))
        let huge = try service.call(
            "memory.create", #"{"vm":"a","memory":"h","size":2097152,"backing":"hugetlb"}"#)
        #expect(huge.contains("no descriptor store"))
        let passed = try service.call("memory.create", #"{"vm":"a","memory":"p","fd":0}"#)
        #expect(passed.contains("no descriptor store"))
        #expect(scratch.stateFiles == ["vm-1.memory-1", "vm-1.state"])
    }

    @Test("a destroyed VM leaves no file")
    func destroyed() throws {
        let scratch = try ScratchDirectory()
        let service = try KeptService(scratch)
        try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
        for name in ["one", "two"] {
            try service.ask(
                "memory.create",
                #"{"vm":"a","memory":"\#(name)","size":4096,"backing":"memfd"}"#)
        }
        try service.ask("memory.destroy", #"{"vm":"a","memory":"one"}"#)
        #expect(scratch.stateFiles == ["vm-1.memory-2", "vm-1.state"])
        try service.ask("vm.destroy", #"{"vm":"a"}"#)
        #expect(scratch.stateFiles.isEmpty)
    }

    @Test("truncated memory is reported, and its VM is not restored")
    func shortMemory() throws {
        let scratch = try ScratchDirectory()
        do {
            let service = try KeptService(scratch)
            try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
            try service.ask(
                "memory.create", #"{"vm":"a","memory":"ram","size":8192,"backing":"memfd"}"#)
        }
        #expect(truncate(scratch.state + "/vm-1.memory-1", 4_096) == 0)
        let service = try KeptService(scratch)
        #expect(try service.ask("vm.list", "{}") == #"{"vms":[]}"#)
        #expect(try service.ask("server.info", "{}").contains(#""unrestored":[{"vm":"a""#))
        // Another user does not see it.
        #expect(try service.ask("server.info", "{}", user: 9).contains(#""unrestored":[]"#))
        #expect(truncate(scratch.state + "/vm-1.memory-1", 8_192) == 0)
        service.end()
        #expect(try KeptService(scratch).ask("vm.list", "{}").contains(#""vm":"a""#))
    }
}
