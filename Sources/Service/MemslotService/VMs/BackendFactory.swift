internal import MemslotKVM
internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots

/// Makes what carries a VM: the simulator, or the host's KVM where it opens.
///
/// Call from any thread.
final class BackendFactory: Sendable {
    /// A backend, with what only its own kind can do.
    struct Made {
        let backend: any MemslotBackend
        /// The simulator; `nil` for KVM.
        var simulator: SimulatedBackend?
        /// Where guest_memfds come from; `nil` for a simulator, which has its own.
        var guestMemfds: KVMGuestMemfds?
    }

    /// The host's KVM, open, and what a VM of it allows.
    struct Host {
        let system: KVMSystem
        let capabilities: Capabilities
    }

    private let device: String
    private let known = Locked<Host?>(nil)

    /// - Parameter device: the path of `/dev/kvm`.
    init(device: String) { self.device = device }

    /// Opens KVM and makes a VM to look at; once, if that succeeds. Where it doesn't, the next
    /// call tries again: a module may be loaded, a right given.
    ///
    /// - Throws: why KVM can't be used, and what to do.
    func host() throws(KVMError) -> Host {
        if let host = known.withLock({ $0 }) { return host }
        let system = try KVMSystem(path: device)
        let host = Host(
            system: system, capabilities: try KVMBackend(system: system).capabilities)
        known.withLock { $0 = host }
        return host
    }

    /// Makes the backend of a new VM.
    ///
    /// - Throws: `backend-unavailable` with the reason, or `invalid-params` for what no simulated
    ///   VM can be.
    func make(
        _ choice: BackendChoice, simulated: SimulatedParameters
    ) throws(ProtocolError) -> Made {
        if choice == .simulated { return try makeSimulator(simulated) }
        let host: Host
        do throws(KVMError) {
            host = try self.host()
        } catch {
            if choice == .auto { return try makeSimulator(simulated) }
            throw ProtocolError(error)
        }
        do throws(KVMError) {
            let backend = try KVMBackend(system: host.system)
            return Made(backend: backend, guestMemfds: KVMGuestMemfds(of: backend.vm))
        } catch {
            throw ProtocolError(error)
        }
    }

    private func makeSimulator(_ parameters: SimulatedParameters) throws(ProtocolError) -> Made {
        var configuration = SimulatorConfiguration()
        configuration.maxSlots = parameters.maxSlots
        configuration.addressSpaces = parameters.addressSpaces
        configuration.guestPhysicalBits = parameters.guestPhysicalBits
        configuration.userspaceEnd = parameters.userspaceEnd
        configuration.flags = parameters.flags
        do throws(SimulatorConfigurationError) {
            let simulator = try SimulatedBackend(configuration: configuration)
            return Made(backend: simulator, simulator: simulator)
        } catch {
            let path = "simulated.\(error)"
            throw ProtocolError(
                ErrorData(.invalidParams, path: path),
                message: "\(path): not a value that a simulated VM can have")
        }
    }
}

extension ProtocolError {
    fileprivate init(_ error: KVMError) {
        self.init(
            ErrorData(.backendUnavailable, errno: error.errno, reason: error.description),
            message: "KVM can't be used here: \(error.description)")
    }
}
