internal import MemslotProtocol

/// The VMs of all users, by user and name.
struct VMRegistry: Sendable {
    private struct Name: Hashable {
        let user: UInt32
        let name: String
    }

    private var vms: [Name: VirtualMachine] = [:]

    /// The VM of `peer`'s user that has this name.
    func vm(_ name: String, of peer: Peer) -> VirtualMachine? {
        vms[Name(user: peer.user, name: name)]
    }

    /// All VMs of `peer`'s user, by name.
    func all(of peer: Peer) -> [VirtualMachine] {
        vms.filter { $0.key.user == peer.user }.map(\.value).sorted { $0.name < $1.name }
    }

    mutating func add(_ vm: VirtualMachine, of peer: Peer) {
        vms[Name(user: peer.user, name: vm.name)] = vm
    }

    mutating func remove(_ vm: VirtualMachine, of peer: Peer) {
        vms[Name(user: peer.user, name: vm.name)] = nil
    }

    /// Takes out the VMs that end with `connection`.
    mutating func removeAll(endingWith connection: UInt64) -> [VirtualMachine] {
        let ended = vms.filter { $0.value.ephemeralConnection == connection }
        for name in ended.keys { vms[name] = nil }
        return Array(ended.values)
    }
}
