import CKVM
import Glibc
import MemslotTestKit
import Memslots
import Testing

@testable import MemslotKVM

extension OnKVM {
    @Suite("adopting a VM")
    struct AdoptionTests {
        private let system: KVMSystem
        private let vm: VirtualMachine
        private let installed: [Memslot]

        /// A VM with adjacent, logging, read-only and distant slots, created without a backend.
        init() throws {
            self.system = try KVMSystem()
            let maker = try KVMBackend(system: system, options: KVMOptions(reservedRanges: []))
            self.vm = maker.vm
            self.installed = [
                Self.slot(0, at: 0, pages: 16),
                Self.slot(1, at: 0x10000, pages: 16),
                Self.slot(5, at: 0x20000, pages: 4, flags: .logDirtyPages),
                Self.slot(9, at: 0x10_0000_0000, pages: 8, flags: .readOnly),
            ]
            for slot in installed { try maker.apply(.create(slot)) }
        }

        private static func slot(
            _ id: UInt32, at address: UInt64, pages: UInt64, flags: MemslotFlags = []
        ) -> Memslot {
            Memslot(
                id: SlotID(id), guestPhysicalAddress: GuestPhysicalAddress(address),
                size: .pages(pages),
                userspaceAddress: UserspaceAddress(0x7f00_0000_0000 + UInt64(id) << 20),
                flags: flags)
        }

        private func adopt(
            _ slots: [Memslot], options: KVMOptions = KVMOptions()
        ) -> KVMError? {
            do throws(KVMError) {
                _ = try KVMBackend(adopting: vm, installed: slots, options: options)
                return nil
            } catch {
                return error
            }
        }

        @Test("a correct list is accepted, in any order, twice")
        func right() throws {
            #expect(adopt(installed) == nil)
            #expect(adopt(installed.reversed()) == nil)
        }

        @Test("each kind of wrong list is reported, and changes nothing")
        func wrong() {
            var left = installed
            left.remove(at: 2)
            #expect(adopt(left) == .installedSlotUnlisted(installed[2].assignedKey))
            #expect(adopt([]) == .installedSlotUnlisted(installed[3].assignedKey))

            func expect(
                _ fault: InstalledSlotFault, of index: Int, _ change: (inout Memslot) -> Void
            ) {
                var list = installed
                change(&list[index])
                #expect(adopt(list) == .installedSlotDiffers(list[index].assignedKey, fault))
            }
            expect(.absent, of: 3) { $0.guestPhysicalAddress = GuestPhysicalAddress(0x50000) }
            // Shifted by one page, so that it overlaps itself: the page after is free, or another slot's.
            expect(.absent, of: 3) {
                $0.guestPhysicalAddress = GuestPhysicalAddress(0x10_0000_1000)
            }
            expect(.elsewhere, of: 0) { $0.guestPhysicalAddress = GuestPhysicalAddress(0x1000) }
            expect(.differs, of: 0) { $0.size = .pages(15) }
            expect(.differs, of: 1) { $0.userspaceAddress = UserspaceAddress(0) }
            expect(.differs, of: 3) { $0.flags = [] }
            expect(.logging, of: 2) { $0.flags = [] }
            expect(.logging, of: 0) { $0.flags = .logDirtyPages }
            expect(.invalid, of: 1) { $0.size = ByteCount(rawValue: 100) }
            expect(.invalid, of: 1) { $0.size = .zero }
            #expect(
                adopt(installed + [installed[1]])
                    == .installedSlotDiffers(installed[1].assignedKey, .listedTwice))
            var swapped = installed
            swapped[0].guestPhysicalAddress = installed[1].guestPhysicalAddress
            swapped[1].guestPhysicalAddress = installed[0].guestPhysicalAddress
            #expect(adopt(swapped) == .installedSlotDiffers(swapped[0].assignedKey, .elsewhere))
            let extra = Self.slot(7, at: 0x80000, pages: 1)
            #expect(
                adopt(installed + [extra]) == .installedSlotDiffers(extra.assignedKey, .absent))
            #expect(
                adopt([extra] + installed) == .installedSlotDiffers(extra.assignedKey, .absent))

            #expect(adopt(installed) == nil, "the slots are unchanged")
        }

        @Test("a VM without slots is adopted with an empty list, and still has none")
        func empty() throws {
            let vm = try system.makeVirtualMachine()
            for _ in 0..<2 { _ = try KVMBackend(adopting: vm, installed: []) }
            let backend = try KVMBackend(adopting: vm, installed: [])
            #expect(backend.capabilities.reservedRanges == ReservedRanges.kernelDefault)
        }

        @Test("a default reserved range that a slot overlaps is not KVM's")
        func reserved() throws {
            let maker = try KVMBackend(adopting: system.makeVirtualMachine(), installed: [])
            let flash = Self.slot(0, at: 0xffc0_0000, pages: 1024, flags: .readOnly)
            try maker.apply(.create(flash))
            let backend = try KVMBackend(adopting: maker.vm, installed: [flash])
            #expect(
                backend.capabilities.reservedRanges
                    == ReservedRanges.kernelDefault.filter { $0.upperBound.rawValue < 0xffc0_0000 })
        }

        @Test("a guest-memfd slot is identified by its address")
        func guestMemfd() throws {
            let maker = try KVMBackend(system: system)
            guard maker.kernel.hasGuestMemfd else { try Test.cancel("no guest_memfd here") }
            let file = try maker.vm.makeGuestMemfd(size: .pages(4))
            defer { close(file) }
            var slot = Memslot(
                id: SlotID(2), guestPhysicalAddress: GuestPhysicalAddress(0x10000),
                size: .pages(4), userspaceAddress: UserspaceAddress(0), flags: .guestMemfd,
                guestMemfd: GuestMemfdBinding(descriptor: file))
            try maker.apply(.create(slot))
            _ = try KVMBackend(adopting: maker.vm, installed: [slot])
            slot.guestPhysicalAddress = GuestPhysicalAddress(0x20000)
            #expect(throws: KVMError.installedSlotDiffers(slot.assignedKey, .absent)) {
                try KVMBackend(adopting: maker.vm, installed: [slot])
            }
        }

        @Test("a dirty ring must be declared with its size, and only if it is enabled")
        func dirtyRing() throws {
            func adopt(_ vm: VirtualMachine, _ mode: DirtyLogMode) throws -> KVMBackend {
                try KVMBackend(
                    adopting: vm, installed: [], options: KVMOptions(dirtyLog: mode))
            }
            let ring = DirtyLogMode.ring(bytes: 65536)
            #expect(throws: KVMError.dirtyLogDiffers(ring)) {
                try adopt(system.makeVirtualMachine(), ring)
            }
            let maker = try KVMBackend(system: system, options: KVMOptions(dirtyLog: ring))
            #expect(throws: KVMError.dirtyLogDiffers(.manual)) { try adopt(maker.vm, .manual) }
            let vcpu = try maker.makeVCPU(id: 0)
            for bytes in [0, 4096, 32768, 131072] as [UInt32] {
                let other = try adopt(maker.vm, .ring(bytes: bytes))
                #expect(throws: KVMError.dirtyLogDiffers(.ring(bytes: bytes)), "\(bytes) bytes") {
                    try other.watchDirtyRing(ofVCPU: vcpu.descriptor)
                }
            }
            try adopt(maker.vm, ring).watchDirtyRing(ofVCPU: vcpu.descriptor)
        }

        @Test("a ring loses no page if its vCPU ran before, or is registered twice")
        func usedRing() throws {
            let mode = DirtyLogMode.ring(bytes: 65536)
            let guest = try GuestVM(.real, options: KVMOptions(dirtyLog: mode))
            let logged = try guest.slot(flags: .logDirtyPages)
            try guest.backend.apply(.create(logged))
            #expect(guest.isDone(try guest.run(toRound: 1)))
            #expect(try guest.backend.readDirtyLog(of: logged, clear: true).runs == [0..<16])
            let boot = Memslot(
                id: SlotID(0), guestPhysicalAddress: GuestPhysicalAddress(0),
                size: GuestPlacement.lowBytes, userspaceAddress: guest.memory.base)
            let next = try KVMBackend(
                adopting: guest.backend.vm, installed: [boot, logged],
                options: KVMOptions(dirtyLog: mode))
            let copy = dup(guest.vcpu.descriptor)
            defer { close(copy) }
            for descriptor in [guest.vcpu.descriptor, copy] {
                try next.watchDirtyRing(ofVCPU: descriptor)
            }
            for round in 2...4 as ClosedRange<UInt32> {
                #expect(guest.isDone(try guest.run(toRound: round)))
                #expect(try next.readDirtyLog(of: logged, clear: true).runs == [0..<16])
            }
        }

        @Test("a manual dirty log that is declared is one")
        func manualDirtyLog() throws {
            let guest = try GuestVM(.real)
            let boot = Memslot(
                id: SlotID(0), guestPhysicalAddress: GuestPhysicalAddress(0),
                size: GuestPlacement.lowBytes, userspaceAddress: guest.memory.base)
            let logged = try guest.slot(flags: .logDirtyPages)
            try guest.backend.apply(.create(logged))
            let next = try KVMBackend(
                adopting: guest.backend.vm, installed: [boot, logged],
                options: KVMOptions(dirtyLog: .manual))
            #expect(guest.isDone(try guest.run(toRound: 1)))
            for _ in 0..<2 {
                #expect(try next.readDirtyLog(of: logged, clear: false).runs == [0..<16])
            }
        }

        @Test("what is no vCPU is refused, and so is a vCPU that is registered")
        func vcpus() throws {
            let backend = try KVMBackend(adopting: system.makeVirtualMachine(), installed: [])
            let file = ckvm_memfd_create("page", 0)
            defer { close(file) }
            #expect(ftruncate(file, 4096) == 0)
            for (descriptor, errno) in [
                (file, ENOTTY), (backend.vm.descriptor, ENODEV), (system.descriptor, ENODEV),
                (-1, EBADF),
            ] {
                #expect(throws: KVMError.noVCPU(Errno(rawValue: errno))) {
                    try backend.watchDirtyRing(ofVCPU: descriptor)
                }
            }
            let vcpu = try backend.makeVCPU(id: 0)
            let (copy, other) = (dup(vcpu.descriptor), try backend.makeVCPU(id: 1))
            defer { close(copy) }
            do {
                let first = VCPUReservation(vcpu.descriptor)
                #expect(first != nil && VCPUReservation(other.descriptor) != nil)
                for descriptor in [vcpu.descriptor, copy] {
                    #expect(VCPUReservation(descriptor) == nil)
                }
                withExtendedLifetime(first) {}
            }
            #expect(VCPUReservation(copy) != nil)
        }

        @Test("a VM of another process is reported as such")
        func otherProcess() async throws {
            await #expect(processExitsWith: .exitCode(7)) {
                let vm = try KVMSystem().makeVirtualMachine()
                let maker = getpid()
                let child = forkForTest()
                if child == 0 {
                    do throws(KVMError) {
                        _ = try KVMBackend(adopting: vm, installed: [])
                        _exit(1)
                    } catch {
                        _exit(error == .vmOfAnotherProcess(creator: maker) ? 7 : 2)
                    }
                }
                var status: Int32 = 0
                waitpid(child, &status, 0)
                exit(status >> 8 & 0xff)
            }
        }
    }
}

/// fork(2) is unavailable in Swift. Here the child makes only system calls.
private func forkForTest() -> pid_t {
    typealias Fork = @convention(c) () -> pid_t
    guard let symbol = dlsym(nil, "fork") else { return -1 }
    return unsafeBitCast(symbol, to: Fork.self)()
}
