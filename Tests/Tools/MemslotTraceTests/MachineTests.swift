import MemslotTrace
import Memslots
import Testing

@Suite("Several VMs in one log")
struct MachineTests {
    private func sizes(_ result: TraceImport) -> [[UInt64]] {
        result.scenario.finalSlots.map { $0.map(\.size.rawValue) }
    }

    @Test("VMs are distinguished by the descriptor")
    func descriptors() throws {
        var log = LogWriter()
        log.createVM(5, descriptor: 9)
        log.createVM(5, descriptor: 10)
        log.set(5, 0, at: 0, size: 4096, descriptor: 9)
        log.set(5, 0, at: 0, size: 8192, descriptor: 10)
        log.set(5, 1, at: 8192, size: 4096, descriptor: 9)
        let result = try imported(log.text, name: "two")
        #expect(sizes(result) == [[4096, 4096], [8192]])
        #expect(result.callCounts == [2, 1])
        #expect(result.scenario.machines.map(\.name) == ["two", "two-2"])
        #expect(result.lines.count { $0.contains("vm.create") } == 2)
    }

    @Test("the same descriptor returned again is a new VM")
    func reused() throws {
        var log = LogWriter()
        log.createVM(5)
        log.set(5, 0, at: 0, size: 4096)
        log.createVM(5)
        log.set(5, 0, at: 0, size: 8192)
        let result = try imported(log.text)
        #expect(sizes(result) == [[4096], [8192]])
        #expect(result.report.surprises == [])
    }

    @Test("two processes may have the same descriptor at once")
    func processes() throws {
        var log = LogWriter()
        log.createVM(100)
        log.createVM(200)
        log.set(101, 0, at: 0, size: 4096)
        log.set(202, 0, at: 0, size: 8192)
        log.set(100, 1, at: 4096, size: 4096)
        log.set(200, 1, at: 8192, size: 8192)
        let result = try imported(log.text)
        #expect(sizes(result) == [[4096, 4096], [8192, 8192]])
    }

    @Test("how threads were made outweighs their numbers")
    func clones() throws {
        var log = LogWriter()
        log.createVM(100)
        log.createVM(200)
        log.line(100, "clone3({flags=CLONE_VM|CLONE_THREAD} => {parent_tid=[300]}, 88) = 300")
        log.set(300, 0, at: 0, size: 4096)
        log.set(200, 0, at: 0, size: 8192)
        #expect(sizes(try imported(log.text)) == [[4096], [8192]])
    }

    @Test("a copy of a descriptor is the same VM")
    func copies() throws {
        var log = LogWriter()
        log.createVM(5)
        log.line(5, "fcntl(9, F_DUPFD_CLOEXEC, 3) = 12")
        log.set(5, 0, at: 0, size: 4096)
        log.set(5, 1, at: 4096, size: 4096, descriptor: 12)
        #expect(sizes(try imported(log.text)) == [[4096, 4096]])
    }

    @Test("a VM from before the log has no beginning, and the report says so")
    func attached() throws {
        var log = LogWriter()
        log.set(5, 0, at: 0, size: 0)
        log.set(5, 1, at: 4096, size: 4096)
        let result = try imported(log.text)
        #expect(result.report.surprises.map(\.surprise) == [.deletesUnknownSlot])
        #expect(result.callCounts == [2])
        #expect(result.report.text.contains("its earlier slots are unknown"))
    }

    @Test("the upper half of the slot word is the address space")
    func addressSpaces() throws {
        var log = LogWriter()
        log.createVM(5)
        log.set(5, 0x1_0003, at: 0, size: 4096)
        log.set(5, 3, at: 0, size: 4096)
        let result = try imported(log.text)
        #expect(result.scenario.finalSlots.first?.map(\.assignedKey.description) == ["3", "1:3"])
        #expect(result.lines[1].contains("\"simulated\":{\"addressSpaces\":2}"))
        #expect(result.lines[3].contains("{\"slot\":3,\"addressSpace\":1,"))
    }

    @Test("what the default backend hasn't is asked for")
    func needs() throws {
        var log = LogWriter()
        log.createVM(5)
        log.set(5, 0, at: 1 << 30, size: 1 << 40, backing: 0xffff_0000_0000)
        let lines = try imported(log.text).lines
        #expect(lines[1].contains("\"simulated\":{\"userspaceEnd\":\"0x1000000000000\"}") == false)
        #expect(lines[1].contains("\"userspaceEnd\":\"0x10000000000000\""))
    }

    @Test("a VM without memory is left out")
    func idle() throws {
        var log = LogWriter()
        log.createVM(4, descriptor: 7)
        log.createVM(5)
        log.set(5, 0, at: 0, size: 4096)
        let result = try imported(log.text)
        #expect(result.scenario.machines.count == 1)
        #expect(result.report.idleMachines == 1)
    }
}
