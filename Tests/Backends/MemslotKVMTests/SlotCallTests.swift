import Glibc
import MemslotKVM
import Memslots
import Testing

extension OnKVM {
    @Suite("slot calls")
    struct SlotCallTests {
        private let backend: KVMBackend

        init() throws { self.backend = try KVMBackend(system: KVMSystem()) }

        private func slot(
            _ id: UInt32, at address: UInt64, pages: UInt64 = 4, flags: MemslotFlags = []
        ) -> Memslot {
            Memslot(
                id: SlotID(id), guestPhysicalAddress: GuestPhysicalAddress(address),
                size: .pages(pages), userspaceAddress: UserspaceAddress(0x7f00_0000_0000),
                flags: flags)
        }

        /// Returns the errno of a call, or `nil` if it succeeded.
        private func errno(_ call: SlotCall) -> Errno? {
            do throws(Errno) {
                try backend.apply(call)
                return nil
            } catch {
                return error
            }
        }

        /// Whether a slot occupies the page, so that no other can be created there.
        private func isOccupied(_ address: UInt64) -> Bool {
            let probe = slot(9, at: address, pages: 1)
            guard errno(.create(probe)) == nil else { return true }
            _ = errno(.delete(probe))
            return false
        }

        @Test("a slot is created, moved, reflagged and deleted")
        func calls() {
            let made = slot(3, at: 0x10000)
            let moved = slot(3, at: 0x40000, flags: .logDirtyPages)
            let silent = slot(3, at: 0x40000)
            #expect(errno(.create(made)) == nil)
            #expect(isOccupied(0x13000) && !isOccupied(0x14000))
            #expect(errno(.move(from: made, to: moved)) == nil)
            #expect(isOccupied(0x40000) && !isOccupied(0x10000))
            #expect((try? backend.readDirtyLog(of: moved, clear: false)) != nil)
            #expect(errno(.reflag(from: moved, to: silent)) == nil)
            #expect(throws: Errno.noEntry) {
                try backend.readDirtyLog(of: silent, clear: false)
            }
            #expect(errno(.delete(silent)) == nil)
            #expect(!isOccupied(0x40000))
            #expect(errno(.delete(silent)) == .invalidArgument)
        }

        @Test("each call is undone by its inverse")
        func inverses() {
            let made = slot(3, at: 0x10000, flags: .readOnly)
            let moved = slot(3, at: 0x40000, flags: .readOnly)
            for call in [.create(made), .move(from: made, to: moved)] as [SlotCall] {
                #expect(errno(call) == nil)
            }
            #expect(errno(SlotCall.move(from: made, to: moved).inverse) == nil)
            #expect(isOccupied(0x10000))
            #expect(errno(SlotCall.create(made).inverse) == nil)
            #expect(!isOccupied(0x10000))
        }

        @Test("a refused call changes no slot")
        func refused() {
            #expect(errno(.create(slot(3, at: 0x10000))) == nil)
            #expect(errno(.create(slot(4, at: 0x13000))) == .fileExists)
            #expect(errno(.create(slot(4, at: 0x20001))) == .invalidArgument)
            #expect(errno(.delete(slot(4, at: 0x13000))) == .invalidArgument)
            let past = slot(4, at: (backend.capabilities.maxGuestPage + 1) * 4096)
            #expect(errno(.create(past)) == .invalidArgument)
            #expect(isOccupied(0x10000) && !isOccupied(0x14000))
        }

        /// Creates a guest-memfd slot, closes its descriptor, and begins another transaction.
        private func createWithoutDescriptor() throws -> Memslot {
            guard backend.kernel.hasGuestMemfd else { try Test.cancel("no guest_memfd here") }
            let file = try backend.vm.makeGuestMemfd(size: .pages(4))
            let slot = Memslot(
                id: SlotID(3), guestPhysicalAddress: GuestPhysicalAddress(0x10000),
                size: .pages(4), userspaceAddress: UserspaceAddress(0), flags: .guestMemfd,
                guestMemfd: GuestMemfdBinding(descriptor: file))
            #expect(errno(.create(slot)) == nil)
            close(file)
            backend.beginTransaction()
            return slot
        }

        @Test("a guest-memfd slot can be deleted and created again after its descriptor was closed")
        func guestMemfd() throws {
            let slot = try createWithoutDescriptor()
            #expect(errno(.delete(slot)) == nil)
            #expect(errno(.create(slot)) == nil)
            #expect(errno(.delete(slot)) == nil)
            // After the transaction no file stays open.
            backend.beginTransaction()
            #expect(errno(.create(slot)) == .badFileDescriptor)
        }

        @Test("after a failed undo a recovery creates a guest-memfd slot without its descriptor")
        func guestMemfdOfRecovery() throws {
            let slot = try createWithoutDescriptor()
            #expect(errno(.delete(slot)) == nil)
            let unaligned = self.slot(4, at: 0x20001)
            #expect(errno(.create(unaligned)) == .invalidArgument)
            // The recovery.
            backend.beginTransaction()
            #expect(errno(.create(slot)) == nil)
        }

        @Test("many slots of one guest_memfd take one more descriptor")
        func oneDescriptor() throws {
            guard backend.kernel.hasGuestMemfd else { try Test.cancel("no guest_memfd here") }
            let file = try backend.vm.makeGuestMemfd(size: .pages(16))
            defer { close(file) }
            for page in 0..<16 as Range<UInt64> {
                let slot = Memslot(
                    id: SlotID(UInt32(page)),
                    guestPhysicalAddress: GuestPhysicalAddress(0x10000 + page * 4096),
                    size: .pages(1), userspaceAddress: UserspaceAddress(0), flags: .guestMemfd,
                    guestMemfd: GuestMemfdBinding(descriptor: file, offset: .pages(page)))
                #expect(errno(.create(slot)) == nil)
            }
            // F_DUPFD_QUERY, since 6.10: whether both are one file.
            guard fcntl(file, 1027, file) == 1 else { try Test.cancel("no F_DUPFD_QUERY here") }
            #expect((0..<1024 as Range<Int32>).count { fcntl($0, 1027, file) == 1 } == 2)
        }

        @Test("errnos are explained")
        func words() {
            #expect(backend.explanation(of: .ioError).kind == "kvm-other-process")
            #expect(backend.explanation(of: .outOfMemory).errno == .outOfMemory)
        }
    }
}
