internal import MemslotProtocol

/// The VMs of all users by user and name, and their subscribers.
struct VMRegistry: Sendable {
    private struct User: Sendable {
        let account: UserAccount
        var vms: [Name: VirtualMachine] = [:]
        /// Connections that follow every VM, including future ones.
        var followers: [UInt64: EventQueue?] = [:]
        /// VMs that a connection follows by name.
        var named: [UInt64: Set<ObjectIdentifier>] = [:]
        /// Connections that followed another process's VM until it ended. They still receive
        /// announcements about it.
        var left: [UInt64: EventQueue] = [:]
    }

    private var users: [UInt32: User] = [:]
    private let budgets: Budgets

    init(_ budgets: Budgets) { self.budgets = budgets }

    func vm(_ name: String, of peer: Peer) -> VirtualMachine? { users[peer.user]?.vms[Name(name)] }

    /// All VMs of `peer`'s user, by name.
    func all(of peer: Peer) -> [VirtualMachine] {
        users[peer.user]?.vms.sorted { $0.key < $1.key }.map(\.value) ?? []
    }

    /// All VMs, by user and name.
    var all: [(account: UserAccount, vms: [VirtualMachine])] {
        users.values.sorted { $0.account.user < $1.account.user }
            .map { ($0.account, $0.vms.sorted { $0.key < $1.key }.map(\.value)) }
    }

    /// The account of `user`, which is created empty.
    mutating func account(of user: UInt32) -> UserAccount {
        if let account = users[user]?.account { return account }
        let account = UserAccount(user: user, budgets)
        users[user] = User(account: account)
        return account
    }

    /// Adds `vm`, which is charged, and notifies the connections that follow all VMs.
    mutating func add(_ vm: VirtualMachine) {
        let user = vm.account.user
        _ = account(of: user)
        users[user]?.vms[Name(vm.name)] = vm
        let queues = (users[user]?.followers ?? [:]).compactMapValues { $0 }
        guard !queues.isEmpty else { return }
        var line: [UInt8]?
        for (connection, queue) in queues {
            guard let (table, names) = vm.feed.follow(connection, queue) else { continue }
            let text = line ?? EventLine.created(backend: vm.backendName, table, names)
            line = text
            queue.enqueue(text, of: vm.feed.number)
        }
    }

    /// Removes `vm`, and notifies its followers. Returns whether it was registered.
    mutating func remove(_ vm: VirtualMachine) -> Bool {
        let user = vm.account.user
        guard users[user]?.vms[Name(vm.name)] === vm else { return false }
        users[user]?.vms[Name(vm.name)] = nil
        budgets.vms.release(1, of: user)
        if vm.observed != nil { users[user]?.left.merge(vm.feed.followers) { own, _ in own } }
        vm.feed.close()
        for connection in users[user]?.named.keys ?? [:].keys { forget(vm, of: connection, user) }
        return true
    }

    /// Removes the VMs and subscriptions that end with the connection of `peer`. Returns the VMs.
    /// The caller releases them outside of every lock, which unmaps their memory.
    mutating func end(_ peer: Peer) -> [VirtualMachine] {
        let ended = all(of: peer).filter { $0.ephemeralConnection == peer.connection }
        unfollowAll(peer)
        for vm in ended { _ = remove(vm) }
        return ended
    }
}

// MARK: - Followers

extension VMRegistry {
    /// Whether `peer` follows `vm` by name; every VM of its user if `vm` is `nil`.
    func follows(_ vm: VirtualMachine?, _ peer: Peer) -> Bool {
        guard let user = users[peer.user] else { return false }
        guard let vm else { return user.followers[peer.connection] != nil }
        return user.named[peer.connection]?.contains(ObjectIdentifier(vm)) == true
    }

    /// Makes `peer` follow `vm` by name; every VM of its user if `vm` is `nil`.
    mutating func follow(_ vm: VirtualMachine?, _ peer: Peer, _ queue: EventQueue?) {
        _ = account(of: peer.user)
        if let vm {
            users[peer.user]?.named[peer.connection, default: []].insert(ObjectIdentifier(vm))
        } else {
            users[peer.user]?.followers.updateValue(queue, forKey: peer.connection)
        }
    }

    /// Ends the subscription of `peer` to `vm` by name.
    mutating func unfollow(_ vm: VirtualMachine, _ peer: Peer) {
        forget(vm, of: peer.connection, peer.user)
        if users[peer.user]?.followers[peer.connection] == nil { vm.feed.unfollow(peer.connection) }
    }

    mutating func unfollowAll(_ peer: Peer) {
        guard let user = users[peer.user] else { return }
        users[peer.user]?.left[peer.connection] = nil
        let isFollower = users[peer.user]?.followers.removeValue(forKey: peer.connection) != nil
        let named = users[peer.user]?.named.removeValue(forKey: peer.connection) ?? []
        guard isFollower || !named.isEmpty else { return }
        user.account.unsubscribe(named.count + (isFollower ? 1 : 0))
        for vm in user.vms.values { vm.feed.unfollow(peer.connection) }
    }

    /// The queues of all connections that follow anything of `peer`'s user, or that followed
    /// another process's VM until it ended; each once.
    func audience(of peer: Peer) -> [EventQueue] {
        guard let user = users[peer.user] else { return [] }
        var queues = user.left
        queues.merge(user.followers.compactMapValues { $0 }) { own, _ in own }
        for vm in user.vms.values { queues.merge(vm.feed.followers) { own, _ in own } }
        return queues.sorted { $0.key < $1.key }.map(\.value)
    }

    private mutating func forget(_ vm: VirtualMachine, of connection: UInt64, _ user: UInt32) {
        guard users[user]?.named[connection]?.remove(ObjectIdentifier(vm)) != nil else { return }
        users[user]?.account.unsubscribe(1)
        if users[user]?.named[connection]?.isEmpty == true { users[user]?.named[connection] = nil }
    }
}

extension ProtocolError {
    /// The error of a VM that does not exist. `names` are those of the caller's own VMs.
    static func gone(_ vm: String, among names: some Sequence<String> = []) -> ProtocolError {
        ProtocolError(
            .unknownVM, "there is no VM \"\(vm)\"; \(meant(vm, names))vm.list lists the VMs")
    }

    static func noMemory(_ name: String, among names: some Sequence<String>) -> ProtocolError {
        ProtocolError(.unknownMemory, noMemoryText(name, among: names))
    }

    static func noMemoryText(_ name: String, among names: some Sequence<String>) -> String {
        "there is no memory object \"\(name)\"; \(meant(name, names))memory.list lists them"
    }

    /// `did you mean "x"? `; empty if no name is near. So many names are compared, because it takes
    /// time.
    private static func meant(_ name: String, _ names: some Sequence<String>) -> String {
        nearestName(to: name, among: Array(names.prefix(128))).map { "did you mean \"\($0)\"? " }
            ?? ""
    }
}
