#if arch(x86_64)
    import MemslotTestKit
    import MemslotKVM
    import Memslots
    import Synchronization

    final class KVMMachine: TortureMachine {
        private struct Unit {
            let program: GuestProgram
            let guarded: GuardedVCPU
        }

        let kvm: KVMBackend
        let region: TortureRegion
        let counters = TortureCounters()
        /// Code, counters and page tables.
        private let low: GuestMemory
        /// The memory of the region.
        private let memory: GuestMemory
        private let signal: KickSignal
        private let units: [Unit]
        private let isEnding = Atomic<Bool>(false)

        var backend: any MemslotBackend { kvm }
        var regionFile: Int32 { memory.descriptor }

        init(_ options: TortureOptions, gate: VCPUGate) throws(TortureError) {
            let access: GuestAccess =
                switch options.change {
                case .romd: .reads
                case .delete: .witnesses
                default: .increments
                }
            let placement = GuestPlacement(
                region: TortureRegion.start,
                pageCount: access == .witnesses
                    ? WitnessRun.pageCount : TortureRegion.pageCount,
                codeInRegion: options.codeInRegion)
            do throws(Errno) {
                low = try GuestMemory(size: GuestPlacement.lowBytes)
                memory = try GuestMemory(size: .pages(TortureRegion.pageCount))
                region = TortureRegion(mappings: (memory.base, try memory.mapAgain()))
                signal = try KickSignal()
            } catch { throw .system(error) }
            do throws(KVMError) {
                kvm = try KVMBackend(
                    system: KVMSystem(), options: KVMOptions(dirtyLog: options.dirtyLog.mode))
                var units: [Unit] = []
                for number in 0..<options.vcpus {
                    let vcpu = try kvm.makeVCPU(id: UInt32(number))
                    var placement = placement
                    var kind = options.guest
                    if access == .witnesses {
                        kind = WitnessRun.kind(of: number)
                        // Both kinds of code are in one page.
                        if kind == .real { placement.code = GuestPhysicalAddress(0x1800) }
                    }
                    let program = GuestProgram(
                        kind: kind, access: access, placement: placement, vcpu: UInt64(number))
                    units.append(
                        Unit(
                            program: program,
                            guarded: GuardedVCPU(vcpu, gate: gate, signal: signal)))
                }
                self.units = units
            } catch { throw .kvm(error) }
            try load()
        }

        var fixedSlots: [Memslot] {
            [
                Memslot(
                    id: SlotID(0), guestPhysicalAddress: GuestPhysicalAddress(0),
                    size: GuestPlacement.lowBytes, userspaceAddress: low.base)
            ]
        }

        private func load() throws(TortureError) {
            for unit in units {
                for piece in unit.program.image {
                    let (memory, offset) = place(of: piece.address)
                    memory.write(piece.bytes, at: offset)
                }
                if unit.program.access != .increments {
                    for page in 0..<TortureRegion.pageCount {
                        store(1, unit.program.number(in: page))
                    }
                }
                do throws(Errno) { try unit.program.start(unit.guarded.vcpu) } catch {
                    throw .system(error)
                }
            }
        }

        func begin(_ vcpu: Int) { try? signal.acceptOnCurrentThread() }

        func turn(_ vcpu: Int) -> Bool {
            do throws(VCPURunError) {
                return continues(after: try units[vcpu].guarded.run().exit, units[vcpu])
            } catch {
                // With a whole table KVM returns no errno, because all guest memory is mapped.
                counters.countEmulationFailure()
                return true
            }
        }

        private func continues(after exit: VCPUExit, _ unit: Unit) -> Bool {
            if unit.program.hasReachedLimit(exit) {
                return !isEnding.load(ordering: .sequentiallyConsistent)
            }
            switch exit {
            case .interrupted, .notReady: break
            case .dirtyRingFull:
                // A failure loses nothing and recurs with the next full ring.
                try? kvm.collectDirtyRings(afterFullRingOf: unit.guarded.descriptor)
            case .mmio(let access):
                counters.countSpuriousExit()
                if !access.isWrite {
                    unit.guarded.completeMMIORead(with: value(for: access, unit))
                }
            case .internalError:
                // The guest retries the instruction.
                counters.countEmulationFailure()
            default:
                counters.countEmulationFailure()
                // Restarts the round after a shutdown, which loses the vCPU's state.
                try? unit.program.start(unit.guarded.vcpu)
            }
            return true
        }

        /// The value for a spurious read: the present number, so that one exit loses exactly one
        /// increment, because the following write is dropped; 0 for a guest that reads.
        private func value(for access: MMIOAccess, _ unit: Unit) -> UInt64 {
            let pages =
                TortureRegion.start..<TortureRegion.address(of: TortureRegion.pageCount)
            guard unit.program.access == .increments, pages.contains(access.address),
                access.address.rawValue % 4 == 0
            else { return 0 }
            return UInt64(load(access.address))
        }

        func kick(_ vcpu: Int) { units[vcpu].guarded.kick() }

        func writes() -> [UInt64] {
            (0..<TortureRegion.pageCount).map { page in
                units.reduce(0) { $0 + UInt64(load($1.program.number(in: page))) }
            }
        }

        func rounds(of vcpu: Int) -> UInt32 { load(units[vcpu].program.rounds) }

        func endWithThisRound() {
            isEnding.store(true, ordering: .sequentiallyConsistent)
            // A vCPU may have counted a round and not compared the count yet.
            for unit in units { store(load(unit.program.rounds) &+ 2, unit.program.limit) }
        }

        func lostIncrements() -> UInt64 {
            units.reduce(0) { $0 + lost(of: $1) }
        }

        private func lost(of unit: Unit) -> UInt64 {
            let rounds = load(unit.program.rounds)
            switch unit.program.access {
            case .reads:
                let pages = UInt32(TortureRegion.pageCount)
                return UInt64(rounds &* pages &- load(unit.program.sum))
            case .witnesses: return 0
            case .increments:
                return (0..<TortureRegion.pageCount).reduce(0) { sum, page in
                    let missing = rounds &- load(unit.program.number(in: page))
                    // A restarted round may have added one too many, which is wrong too.
                    switch unit.program.kind {
                    case .long:
                        return sum + UInt64(Int32(truncatingIfNeeded: missing).magnitude)
                    case .real:
                        return sum + UInt64(Int16(truncatingIfNeeded: missing).magnitude)
                    }
                }
            }
        }

        /// The tickets of a witness: from before the last access that found memory, and from after
        /// the first that found none, 0 if none did.
        func tickets(of vcpu: Int) -> (lastFound: UInt32, firstMissing: UInt32) {
            let program = units[vcpu].program
            return (load(program.lastFound), load(program.firstMissing))
        }

        func forgetMissing(_ vcpu: Int) { store(0, units[vcpu].program.firstMissing) }

        private func place(of address: GuestPhysicalAddress) -> (GuestMemory, UInt64) {
            address < TortureRegion.start
                ? (low, address.rawValue)
                : (memory, address.rawValue - TortureRegion.start.rawValue)
        }

        private func load(_ address: GuestPhysicalAddress) -> UInt32 {
            let (memory, offset) = place(of: address)
            return memory.load(offset)
        }

        private func store(_ value: UInt32, _ address: GuestPhysicalAddress) {
            let (memory, offset) = place(of: address)
            memory.store(value, offset)
        }
    }
#endif
