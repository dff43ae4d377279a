internal import Glibc
internal import MemslotKVM
internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots

/// Creates the backends of VMs: the simulator, or the host's KVM where it opens.
///
/// Call from any thread.
final class BackendFactory: Sendable {
    struct NewBackend {
        let backend: any MemslotBackend
        /// The simulator; `nil` for KVM.
        var simulator: SimulatedBackend?
        /// Creates guest_memfds; `nil` for a simulator, which creates its own.
        var guestMemfds: KVMGuestMemfds?
    }

    /// The host's open KVM, and the capabilities of its VMs.
    struct Host {
        let system: KVMSystem
        let capabilities: Capabilities
    }

    private let device: String
    private let known = Locked<Host?>(nil)

    /// `device` is the path of `/dev/kvm`.
    init(device: String) { self.device = device }

    /// Opens KVM, and reads the capabilities of a VM. If that fails, the next call tries again: a
    /// module may be loaded, or a permission granted. Throws why KVM can't be used, and what to do.
    func host() throws(KVMError) -> Host {
        if let host = known.withLock({ $0 }) { return host }
        let system = try KVMSystem(path: device)
        let host = Host(system: system, capabilities: try KVMBackend(system: system).capabilities)
        known.withLock { $0 = host }
        return host
    }

    /// Creates the backend of a new VM. Throws `backend-unavailable` with the reason, or
    /// `invalid-params` for a configuration that no simulated VM can have.
    func make(
        _ choice: BackendChoice, simulated: SimulatedParameters
    ) throws(ProtocolError) -> NewBackend {
        if choice == .simulated { return try makeSimulator(simulated) }
        let host: Host
        do throws(KVMError) {
            host = try self.host()
        } catch {
            if choice == .auto { return try makeSimulator(simulated) }
            throw ProtocolError(error)
        }
        let backend = try converting(
            { (error: KVMError) in ProtocolError(error) }, KVMBackend(system: host.system))
        return NewBackend(backend: backend, guestMemfds: KVMGuestMemfds(of: backend.vm))
    }

    private func makeSimulator(
        _ parameters: SimulatedParameters
    ) throws(ProtocolError) -> NewBackend {
        var configuration = SimulatorConfiguration(
            profile: parameters.profile, kernel: parameters.kernel)
        configuration.pageSize = parameters.pageSize
        configuration.maxSlots = parameters.maxSlots
        configuration.addressSpaces = parameters.addressSpaces
        configuration.guestPhysicalBits = parameters.guestPhysicalBits
        configuration.userspaceEnd = parameters.userspaceEnd
        configuration.flags = parameters.flags
        let simulator = try converting(
            { (error: SimulatorConfigurationError) in
                ProtocolError.invalid("simulated.\(error.member)", error.message)
            }, SimulatedBackend(configuration: configuration))
        return NewBackend(backend: simulator, simulator: simulator)
    }
}

extension MemslotService {
    /// Reads what must be known of the host's KVM before a process confines itself.
    package static func examineHost() { _ = ShadowPaging.isUsed }
}

extension ProtocolError {
    fileprivate init(_ error: KVMError) {
        self.init(
            ErrorData(.backendUnavailable, errno: error.errno, reason: error.description),
            message: "KVM can't be used here: \(error.description)")
    }
}

/// The guest_memfds that peers made for one KVM VM. They are closed with the VM.
final class KVMGuestMemfds: Sendable {
    private let vm: MemslotKVM.VirtualMachine
    private let open = Locked<Set<Int32>>([])

    init(of vm: MemslotKVM.VirtualMachine) { self.vm = vm }
    deinit { for descriptor in open.withLock({ $0 }) { close(descriptor) } }

    /// Creates a guest_memfd of `size` bytes, a multiple of 4096 that is not 0, and returns its
    /// descriptor. Kernel: `KVM_CREATE_GUEST_MEMFD`. Throws the kernel's errno; `ENOTTY` before
    /// Linux 6.8, and 6.18 for VMs of this type.
    func create(size: ByteCount, isShared: Bool) throws(Errno) -> Int32 {
        let descriptor = try converting(
            { (error: KVMError) in error.errno ?? .invalidArgument },
            vm.makeGuestMemfd(size: size, flags: isShared ? SharedGuestMemfd.flags : 0))
        open.withLock { _ = $0.insert(descriptor) }
        return descriptor
    }

    /// Closes a guest_memfd that no slot is bound to.
    func close(_ descriptor: Int32) {
        guard open.withLock({ $0.remove(descriptor) }) != nil else { return }
        Glibc.close(descriptor)
    }
}

extension VirtualMachine {
    /// Creates a guest_memfd: the kernel's, or the simulator's. One that is shared is mapped here; the
    /// simulator maps a memfd in its place, because no guest uses its pages. Throws
    /// `backend-unavailable`.
    func makeGuestMemfd(
        size: ByteCount, isShared: Bool
    ) throws(ProtocolError) -> MemoryObject.Kind {
        guard !isShared || table.capabilities.sharesGuestMemfd else {
            let reason =
                "shared guest_memfds need GUEST_MEMFD_FLAG_MMAP and GUEST_MEMFD_FLAG_INIT_SHARED of "
                + "KVM_CAP_GUEST_MEMFD_FLAGS, since Linux 6.18, which the VM \"\(name)\" lacks"
            throw ProtocolError(ErrorData(.backendUnavailable, reason: reason), message: reason)
        }
        func unavailable(_ error: Errno) -> ProtocolError { .unavailable(.guestMemfd, size, error) }
        func create() throws(Errno) -> Int32 {
            if let simulator { return try simulator.makeGuestMemfd(size: size) }
            guard let guestMemfds else { throw .invalidArgument }
            return try guestMemfds.create(size: size, isShared: isShared)
        }
        let handle = try converting(unavailable, create())
        guard isShared else { return .guestMemfd(handle: handle, mapping: nil) }
        do throws(ProtocolError) {
            let mapping =
                simulator != nil
                ? try MemoryFile.make(.memfd, size: size)
                : try converting(
                    unavailable, MappedFile(handle, size: size, pageSize: Memslots.pageSize))
            return .guestMemfd(handle: handle, mapping: mapping)
        } catch {
            closeGuestMemfd(handle)
            throw error
        }
    }

    /// Closes a guest_memfd, unless it is closed already.
    func closeGuestMemfd(_ handle: Int32) {
        guestMemfds?.close(handle)
        try? simulator?.closeGuestMemfd(handle)
    }
}
