internal import Glibc
internal import MemslotKVM
internal import MemslotSimulator
internal import Memslots

/// The guest_memfds of one KVM VM that peers made. Those left are closed with the VM.
final class KVMGuestMemfds: Sendable {
    private let vm: MemslotKVM.VirtualMachine
    private let open = Locked<Set<Int32>>([])

    init(of vm: MemslotKVM.VirtualMachine) { self.vm = vm }

    deinit {
        for descriptor in open.withLock({ $0 }) { close(descriptor) }
    }

    /// Makes one. Kernel: `KVM_CREATE_GUEST_MEMFD`.
    ///
    /// - Parameter size: bytes; a multiple of 4096, not 0.
    /// - Returns: its descriptor.
    /// - Throws: the kernel's errno; `ENOTTY` before Linux 6.8, and 6.18 for VMs of this type.
    func create(size: ByteCount) throws(Errno) -> Int32 {
        do throws(KVMError) {
            let descriptor = try vm.makeGuestMemfd(size: size)
            open.withLock { _ = $0.insert(descriptor) }
            return descriptor
        } catch {
            throw error.errno ?? .invalidArgument
        }
    }

    /// Closes one that no slot is bound to.
    func close(_ descriptor: Int32) {
        guard open.withLock({ $0.remove(descriptor) }) != nil else { return }
        Glibc.close(descriptor)
    }
}

extension VirtualMachine {
    /// Makes a guest_memfd for slots to name: the kernel's, or the simulator's.
    func createGuestMemfd(size: ByteCount) throws(Errno) -> Int32 {
        if let simulator { return try simulator.createGuestMemfd(size: size) }
        guard let guestMemfds else { throw .invalidArgument }
        return try guestMemfds.create(size: size)
    }

    /// Closes a guest_memfd. One that is gone already is as good as closed.
    func closeGuestMemfd(_ handle: Int32) {
        guestMemfds?.close(handle)
        try? simulator?.closeGuestMemfd(handle)
    }
}
