import Foundation
import MemslotKVM
import MemslotTestKit
import Memslots
import Testing

extension OnKVM {
    @Suite("memory that is mapped ahead")
    struct PreFaultTests {
        private let signal: KickSignal
        private let guest: GuestVM
        private let gate = VCPUGate()
        private let vcpu: GuardedVCPU
        private let region: Range<GuestPhysicalAddress>

        init() throws {
            signal = try KickSignal()
            try signal.acceptOnCurrentThread()
            guest = try GuestVM(.long)
            vcpu = GuardedVCPU(guest.vcpu, gate: gate, signal: signal)
            region = GuestVM.region..<(try #require(GuestVM.region.advanced(by: .pages(16))))
        }

        @Test("a range that is empty or not whole pages is refused, and the kernel is not asked")
        func badRange() throws {
            let table = try guest.table([guest.slot()], vcpus: gate)
            let (start, end) = (region.lowerBound, region.upperBound)
            let odd = GuestPhysicalAddress(start.rawValue + 1)
            for range in [start..<start, odd..<end, start..<odd] {
                #expect(throws: PreFaultError.badRange) { try vcpu.preFault(range, of: table) }
            }
        }

        @Test("a kick of the VMM is reported by the next run, and nothing is mapped before")
        func kicked() throws {
            let table = try guest.table([guest.slot()], vcpus: gate)
            vcpu.kick()
            #expect(try vcpu.preFault(region, of: table) == region)
            #expect(try vcpu.run().requests.contains(.embedder))
        }

        @Test(
            "a hook may not ask for it, and it waits for any transaction",
            arguments: [true, false])
        func waits(holding: Bool) throws {
            let hook = MeddlingHook(holding)
            let table = try MemslotTable(
                backend: guest.backend, installed: [guest.lowSlot], vcpus: gate)
            table.add(hook)
            let (vcpu, signal, region) = (vcpu, signal, region)
            let asked = Locked<PreFaultError?>(nil)
            let (isEarly, done) = (Locked<Bool?>(nil), DispatchSemaphore(value: 0))
            hook.onCommit.withLock { onCommit in
                onCommit = {
                    asked.withLock { asked in
                        do throws(PreFaultError) {
                            _ = try vcpu.preFault(region, of: table)
                        } catch { asked = error }
                    }
                    Thread.detachNewThread {
                        try? signal.acceptOnCurrentThread()
                        _ = try? vcpu.preFault(region, of: table)
                        done.signal()
                    }
                    // On any host the call ends in less, with memory mapped or without.
                    let early = done.wait(timeout: .now() + .milliseconds(300)) == .success
                    isEarly.withLock { $0 = early }
                    if early { done.signal() }
                }
            }
            let receipt = try table.submit([guest.lowSlot, guest.slot()])
            #expect(receipt.quiesced == holding)
            #expect(isEarly.withLock { $0 } == false)
            done.wait()
            guard case .reentrant? = asked.withLock({ $0 }) else {
                Issue.record("a hook could ask")
                return
            }
            hook.onCommit.withLock { $0 = {} }
        }

        @Test("without two-dimensional paging the kernel's errno is thrown")
        func shadowed() throws {
            guard !guest.backend.kernel.canPreFault else { try Test.cancel("the host has it") }
            let table = try guest.table([guest.slot()], vcpus: gate)
            do throws(PreFaultError) {
                _ = try vcpu.preFault(region, of: table)
                Issue.record("memory was mapped")
            } catch {
                guard case .failed = error else {
                    Issue.record("\(error)")
                    return
                }
            }
        }

        @Test("a slot's memory is mapped, also after a commit that replaces it")
        func maps() throws {
            guard guest.backend.kernel.canPreFault else {
                try Test.cancel("no KVM_CAP_PRE_FAULT_MEMORY (Linux 6.11, EPT or NPT)")
            }
            let table = try guest.table([guest.slot()], vcpus: gate)
            func mapAll() throws {
                var left = region
                while !left.isEmpty { left = try vcpu.preFault(left, of: table) }
            }
            func runRounds(to count: UInt32) throws {
                guest.memory.store(count, guest.offset(of: guest.program.limit))
                while !guest.isDone(try vcpu.run().exit) {}
            }
            // A page of a memfd is there once somebody has accessed it.
            func present() throws -> Int {
                let start = try #require(
                    UnsafeMutableRawPointer(
                        bitPattern: UInt(
                            guest.memory.base.rawValue + guest.offset(of: region.lowerBound))))
                var pages = [UInt8](repeating: 0, count: 16)
                try #require(mincore(start, 16 * 4096, &pages) == 0)
                return pages.count { $0 & 1 == 1 }
            }
            #expect(try present() == 0)
            try mapAll()
            #expect(try present() == 16)
            let past = region.upperBound..<(try #require(region.upperBound.advanced(by: .page)))
            #expect(throws: PreFaultError.failed(.noEntry)) { try vcpu.preFault(past, of: table) }
            try runRounds(to: 10)
            try table.submit(guest.pieces([8]))
            do throws(PreFaultError) {
                var left = region
                while !left.isEmpty { left = try vcpu.preFault(left, of: table) }
            } catch {
                // A kernel before 6.15: what the deletion made obsolete is replaced by an entry.
                #expect(error == .stalled)
                try runRounds(to: 20)
                try mapAll()
            }
            try runRounds(to: 30)
            #expect(guest.wrongPages == [])
        }
    }
}

/// Runs a closure in the commit of each change, with vCPUs held or not.
private final class MeddlingHook: MemslotHook {
    let name = "meddling"
    let needsQuiescence: Bool
    let onCommit = Locked<@Sendable () -> Void>({})

    init(_ needsQuiescence: Bool) { self.needsQuiescence = needsQuiescence }

    func prepare(_ change: MemslotChange) throws(HookVeto) {}
    func commit(_ change: MemslotChange) { onCommit.withLock { $0 }() }
    func finish(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
}
