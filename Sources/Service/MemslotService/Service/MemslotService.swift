public import Memslots

/// VMs by name, and the methods of the wire protocol on them.
///
/// It knows no socket: a command comes in, a reply goes out. The daemon's connections, a
/// scenario's replay and an embedding VMM all call it the same way. Call from any thread; commands
/// for one VM are executed in the order of the calls.
public final class MemslotService: Sendable {
    /// The limits, which `server.info` reports.
    public let limits: ServiceLimits
    let takesRawAddresses: Bool
    let registry = Locked(VMRegistry())
    let backends: BackendFactory
    let audience = TableAudience()
    /// Where VMs are kept; `nil` to keep none.
    let state: StateStore?

    /// A service without VMs.
    ///
    /// - Parameters:
    ///   - limits: the limits, which `server.info` reports.
    ///   - takesRawAddresses: whether slots of KVM VMs may name addresses of this process. Set it
    ///     only where every peer is this process: any other peer could map the service's own
    ///     memory into its guest.
    ///   - kvmDevice: the path of KVM's device. It is opened when it is first needed.
    ///   - state: where VMs are kept after this process ends; call ``restore()`` before any other
    ///     method. `nil` to keep none.
    public init(
        limits: ServiceLimits = ServiceLimits(), takesRawAddresses: Bool = false,
        kvmDevice: String = "/dev/kvm", state: StateStore? = nil
    ) {
        self.state = state
        self.backends = BackendFactory(device: kvmDevice)
        self.limits = limits
        self.takesRawAddresses = takesRawAddresses
    }

    /// Sets the function that receives the events of every table, for a log. It replaces the
    /// function that was set before.
    ///
    /// - Parameter observer: called with the event, the VM's name and its user, in order for each
    ///   VM. It is called inside the VM's transactions: it must be short, and must neither wait nor
    ///   call the service.
    public func observeTables(
        _ observer: @escaping @Sendable (_ event: TableEvent, _ vm: String, _ user: UInt32) -> Void
    ) {
        audience.set(observer)
    }

    /// Ends a connection: its ephemeral VMs are destroyed, and it receives no more events.
    public func end(_ connection: ServiceConnection) {
        let ended = registry.withLock { $0.end(connection.peer) }
        // Released outside the lock: this unmaps the VMs' memory.
        _ = consume ended
    }
}
