/// How a daemon is loaded.
package struct LoadOptions: Hashable, Sendable {
    /// Connections that submit, a thread each. At least 1.
    package var clients = 4
    /// VMs, all simulated. Client `i` submits to every VM whose number leaves the rest `i`; where
    /// there are more clients than VMs, several share one. At least 1.
    package var vms = 4
    /// Slots of each array, of which a submit moves one. At least 1.
    package var slots = 16
    /// Connections that follow all VMs' events.
    package var subscribers = 1
    /// Submits a second, of all clients together; 0 for as many as there can be.
    package var rate = 0
    /// How long, in seconds. At least 1.
    package var seconds = 10
    /// Whether each submit is a compare-and-swap.
    package var comparesAndSwaps = false

    /// The defaults.
    package init() {}
}
