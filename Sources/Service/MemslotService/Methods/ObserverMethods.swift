internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import MemslotVhostUser
internal import Memslots

extension MemslotService {
    func attachObserver(
        _ parameters: ObserverParameters, _ peer: Peer, _ descriptors: PassedDescriptors
    ) throws(ProtocolError) -> Reply {
        let vm = try vm(parameters.vm, of: peer, refusingFailed: true)
        try vm.refuseIfObserved()
        guard !vm.memory.isEmbedded else {
            throw ProtocolError(
                .notPermitted, "the process that serves \"\(vm.name)\" attaches to it")
        }
        try vm.requireNoObserver(parameters.observer)
        let socket = try adopt(parameters.index, of: descriptors, peer)
        let observer: AttachedObserver
        do throws(VhostUserError) {
            observer = try AttachedObserver(parameters, socket, memory: vm.memory)
            try observer.hook.attach(to: vm.table)
        } catch {
            socket.shutDown()
            throw ProtocolError(
                ErrorData(.prepareRejected, reason: error.message),
                message: "the back end can't follow \"\(vm.name)\": \(error.message)")
        }
        do throws(ProtocolError) {
            try vm.requireNoObserver(parameters.observer, adding: observer)
        } catch {
            vm.table.remove(observer.hook)
            throw error
        }
        return .observer(observer.hook.report(since: [:]))
    }

    private func adopt(
        _ index: Int, of descriptors: PassedDescriptors, _ peer: Peer
    ) throws(ProtocolError) -> ObserverSocket {
        let descriptor = descriptors.claim(index) ?? -1
        do throws(ProtocolError) {
            guard clinux_is_stream(descriptor) == 1 else {
                throw .invalid("fd", "no connected Unix stream socket came with this line")
            }
            removeClosedObservers()
            let charge = try budgets.observers.charged(1, to: peer.user)
            let socket = ObserverSocket(adopting: descriptor, charge: charge)
            observerSockets.withLock { $0.append(socket) }
            return socket
        } catch {
            if descriptor >= 0 { close(descriptor) }
            throw error
        }
    }

    func removeClosedObservers() { observerSockets.withLock { $0.removeAll(where: \.isClosed) } }

    func listObservers(of name: String, _ peer: Peer) throws(ProtocolError) -> Reply {
        removeClosedObservers()
        let observers = try vm(name, of: peer).observers.withLock { $0 }
        return .observers(observers.map { $0.hook.report(since: [:]) })
    }

    func detachObserver(
        _ name: String, from vmName: String, _ peer: Peer
    ) throws(ProtocolError) -> Reply {
        let vm = try vm(vmName, of: peer)
        let removed = vm.observers.withLock { all in
            all.firstIndex { Name($0.hook.name) == Name(name) }.map { all.remove(at: $0) }
        }
        guard let removed else {
            throw ProtocolError(
                .unknownObserver,
                "\"\(vm.name)\" has no observer \"\(name)\"; observer.list lists them")
        }
        removed.shutDown()
        vm.table.remove(removed.hook)
        return .done
    }
}

extension VirtualMachine {
    /// Checks that the name is free, and keeps the observer that has it now.
    fileprivate func requireNoObserver(
        _ name: String, adding observer: AttachedObserver? = nil
    ) throws(ProtocolError) {
        try observers.withLock { all throws(ProtocolError) in
            guard !all.contains(where: { Name($0.hook.name) == Name(name) }) else {
                throw ProtocolError(.observerExists, "there is an observer \"\(name)\" already")
            }
            if let observer { all.append(observer) }
        }
    }
}
