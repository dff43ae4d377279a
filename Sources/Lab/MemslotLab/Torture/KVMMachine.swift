#if arch(x86_64)
    import CKVM
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
        let regions: [TortureRegion]
        let counts = Locked(Tally<TortureReport.Count>())
        /// Code, counters and page tables.
        private let low: GuestMemory
        /// The memory of the region.
        private let memory: GuestMemory
        /// The number of the transaction, with two address spaces.
        private let tag = Atomic<UInt32>(0)
        private let signal: KickSignal
        private let units: [Unit]
        private let isEnding = Atomic<Bool>(false)
        private let hasEnded = Atomic<Bool>(false)

        var backend: any MemslotBackend { kvm }
        var regionFile: Int32 { memory.descriptor }

        init(_ options: TortureOptions, gate: VCPUGate) throws(TortureError) {
            let access: GuestAccess =
                switch options.change {
                case .romd: .reads
                case .delete: .witnesses
                default: options.spaces == 2 ? .ordered : .increments
                }
            let stride: UInt64 = options.memory == .small ? 1 : 128
            let placement = GuestPlacement(
                region: TortureRegion.start,
                pageCount: access == .witnesses
                    ? TortureRun.witnessedPages : TortureRegion.pageCount,
                stride: stride * pageSize.rawValue, codeInRegion: options.codeInRegion)
            do throws(Errno) {
                low = try GuestMemory(size: GuestPlacement.lowBytes)
                memory = try GuestMemory(
                    size: .pages(TortureRegion.pageCount / 2 * UInt64(1 + options.spaces) * stride),
                    kind: options.memory)
                let mappings = (memory.base, try memory.mapAgain())
                regions = [AddressSpaceID.main, 1].prefix(options.spaces).map {
                    TortureRegion(mappings: mappings, stride: stride, space: $0)
                }
                signal = try KickSignal()
            } catch {
                let isFull = options.memory == .hugetlb && error == .outOfMemory
                throw isFull
                    ? .unavailable("--memory hugetlb: no huge page is free") : .system(error)
            }
            do throws(KVMError) {
                kvm = try KVMBackend(
                    system: KVMSystem(),
                    options: KVMOptions(
                        dirtyLog: options.dirtyLog.mode,
                        keepsOtherMappings: options.keepsOtherMappings))
                var units: [Unit] = []
                for number in 0..<options.vcpus {
                    let vcpu = try kvm.makeVCPU(id: UInt32(number))
                    var placement = placement
                    var kind = options.guest
                    if access == .witnesses {
                        kind = TortureRun.witness(number)
                        // Both kinds of code are in one page.
                        if kind == .real { placement.code = GuestPhysicalAddress(0x1800) }
                    }
                    let program = GuestProgram(
                        kind: kind, access: access, placement: placement, vcpu: UInt64(number))
                    let guarded = GuardedVCPU(vcpu, gate: gate, signal: signal)
                    units.append(Unit(program: program, guarded: guarded))
                }
                self.units = units
            } catch { throw .kvm(error) }
            guard options.spaces <= kvm.capabilities.addressSpaces else {
                throw .unavailable(
                    "--spaces 2: this KVM has one address space (KVM_CAP_MULTI_ADDRESS_SPACE)")
            }
            guard options.memory == .small || hugeMappings >= 0 else {
                throw .unavailable(
                    "--memory \(options.memory): this kernel does not count KVM's huge mappings "
                        + "(KVM_GET_STATS_FD)")
            }
            try load()
        }

        func otherSlots() -> [Memslot] {
            // The last two pages of the low ones in turn, so that an old slot has an old tag.
            let tag = tag.add(1, ordering: .relaxed).newValue
            let offset = GuestPlacement.lowBytes.rawValue - UInt64(1 + tag % 2) * pageSize.rawValue
            if regions.count > 1 { low.store(tag, offset) }
            return regions.flatMap {
                let slot = Memslot(
                    id: SlotID(0), addressSpace: $0.space,
                    guestPhysicalAddress: GuestPhysicalAddress(0),
                    size: GuestPlacement.lowBytes, userspaceAddress: low.base)
                let tag = Memslot(
                    id: SlotID(32), addressSpace: $0.space,
                    guestPhysicalAddress: GuestPlacement.tag, size: .page,
                    userspaceAddress: UserspaceAddress(low.base.rawValue + offset))
                return regions.count > 1 ? [slot, tag] : [slot]
            }
        }

        private func load() throws(TortureError) {
            for unit in units {
                for piece in unit.program.image {
                    let (memory, offset) = place(of: piece.address)
                    memory.write(piece.bytes, at: offset)
                }
                if unit.program.access == .ordered {
                    // It exits after each round, to enter system management mode.
                    store(1, unit.program.limit)
                    let page = regions[1].hostPage(unit.program.vcpu) * pageSize.rawValue
                    memory.write(unit.program.managementCode, at: page + GuestPlacement.codeOffset)
                    let (vcpu, base) = (unit.guarded.descriptor, unit.program.managementBase)
                    guard ckvm_set_msr(vcpu, 0x9e, base) == 1 else {  // MSR_IA32_SMBASE
                        throw .unavailable("--spaces 2: this KVM has no system management mode")
                    }
                } else if unit.program.access != .increments {
                    for page in 0..<TortureRegion.pageCount {
                        store(1, unit.program.number(in: page))
                    }
                }
                try converting(
                    { TortureError.system($0) }, unit.program.start(unit.guarded.vcpu))
            }
        }

        func begin(_ vcpu: Int) { try? signal.acceptOnCurrentThread() }

        func turn(_ vcpu: Int) -> Bool {
            // The vCPU may be anywhere, also in system management mode: then it enters again.
            if regions.count > 1 { _ = ckvm_smi(units[vcpu].guarded.descriptor) }
            do throws(VCPURunError) {
                return continues(after: try units[vcpu].guarded.run().exit, units[vcpu])
            } catch {
                // Linux 6.12 ends a VM that enters system management mode and finds no SMRAM.
                if error == .failed(.ioError), hasEnded.exchange(true, ordering: .relaxed) {
                    return !isEnding.load(ordering: .sequentiallyConsistent)
                }
                // With a whole table KVM returns no errno, because all guest memory is mapped.
                count(.emulationFailures)
                return true
            }
        }

        private func continues(after exit: VCPUExit, _ unit: Unit) -> Bool {
            if unit.program.hasReachedLimit(exit) {
                if regions.count > 1 { store(load(unit.program.rounds) &+ 1, unit.program.limit) }
                return !isEnding.load(ordering: .sequentiallyConsistent)
            }
            switch exit {
            case .interrupted, .notReady: break
            case .dirtyRingFull:
                // A failure loses nothing and recurs with the next full ring.
                try? kvm.collectDirtyRings(afterFullRingOf: unit.guarded.descriptor)
            case .mmio(let access):
                count(.spuriousExits)
                if !access.isWrite { unit.guarded.completeMMIORead(with: value(for: access, unit)) }
            case .internalError:
                // The guest retries the instruction.
                count(.emulationFailures)
            default:
                count(.emulationFailures)
                // Restarts the round after a shutdown, which loses the vCPU's state.
                try? unit.program.start(unit.guarded.vcpu)
            }
            return true
        }

        /// The value for a spurious read: the present number, so that one exit loses exactly one
        /// increment, because the following write is dropped; 0 for a guest that reads.
        private func value(for access: MMIOAccess, _ unit: Unit) -> UInt64 {
            let pages = TortureRegion.start..<regions[0].address(of: TortureRegion.pageCount)
            guard [.increments, .ordered].contains(unit.program.access),
                pages.contains(access.address), access.address.rawValue % 4 == 0
            else { return 0 }
            return UInt64(load(access.address))
        }

        func kick(_ vcpu: Int) { units[vcpu].guarded.kick() }

        func writes() -> [UInt64] {
            regions.indices.flatMap { space in
                (0..<TortureRegion.pageCount).map { page in
                    units.map { UInt64(load($0.program.number(in: page, space: UInt64(space)))) }
                        .reduce(0, +)
                }
            }
        }

        func rounds(of vcpu: Int) -> UInt32 { load(units[vcpu].program.rounds) }

        func endWithThisRound() {
            isEnding.store(true, ordering: .sequentiallyConsistent)
            // A vCPU may have counted a round and not compared the count yet.
            for unit in units { store(load(unit.program.rounds) &+ 2, unit.program.limit) }
        }

        func lostIncrements() -> UInt64 { units.reduce(0) { $0 + lost(of: $1) } }

        func observe(_ report: inout TortureReport) {
            report.hasEnded = hasEnded.load(ordering: .relaxed)
            let programs = units.map(\.program).filter { $0.access == .ordered }
            report.counts[.managementRounds] = programs.reduce(0) {
                $0 + UInt64(load($1.managementRounds))
            }
            report.counts[.staleTags] = programs.reduce(0) { $0 + UInt64(load($1.staleTags)) }
            guard regions[0].stride > 1 else { return }
            let mappings = UInt64(max(0, hugeMappings))
            if let last = report.lastMappings {
                if mappings < last { report.counts[.hugeFalls] += 1 }
            } else {
                report.counts[.hugeKiB] = memory.hugeKiB
            }
            report.counts[.hugeMappings] = max(report.counts[.hugeMappings], mappings)
            report.lastMappings = mappings
        }

        /// -1 where the kernel does not count them.
        private var hugeMappings: Int64 { ckvm_statistic(kvm.vm.descriptor, "pages_2m") }

        private func lost(of unit: Unit) -> UInt64 {
            let rounds = load(unit.program.rounds)
            switch unit.program.access {
            case .reads:
                let pages = UInt32(TortureRegion.pageCount)
                return UInt64(rounds &* pages &- load(unit.program.sum))
            case .witnesses: return 0
            case .increments, .ordered:
                return (0..<TortureRegion.pageCount).reduce(into: 0) { sum, page in
                    if unit.program.access == .ordered {
                        let number = load(unit.program.number(in: page, space: 1))
                        let missing = load(unit.program.managementRounds) &- number
                        sum += UInt64(Int32(truncatingIfNeeded: missing).magnitude)
                    }
                    let missing = rounds &- load(unit.program.number(in: page))
                    // A restarted round may have added one too many, which is wrong too.
                    switch unit.program.kind {
                    case .long: sum += UInt64(Int32(truncatingIfNeeded: missing).magnitude)
                    case .real: sum += UInt64(Int16(truncatingIfNeeded: missing).magnitude)
                    }
                }
            }
        }

        func tickets(of vcpu: Int) -> (lastFound: UInt32, firstMissing: UInt32) {
            let program = units[vcpu].program
            return (load(program.lastFound), load(program.firstMissing))
        }

        func forgetMissing(_ vcpu: Int) { store(0, units[vcpu].program.firstMissing) }

        private func place(of address: GuestPhysicalAddress) -> (GuestMemory, UInt64) {
            guard address >= TortureRegion.start else { return (low, address.rawValue) }
            let offset = address.rawValue - TortureRegion.start.rawValue
            // The numbers of address space 1 are behind those of address space 0.
            let isSecond = regions.count > 1 && offset % pageSize.rawValue >= GuestProgram.numbers
            return (memory, offset + regions[isSecond ? 1 : 0].hostPage(0) * pageSize.rawValue)
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
