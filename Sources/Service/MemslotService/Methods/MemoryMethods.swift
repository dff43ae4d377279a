internal import Glibc
internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func createMemory(
        _ request: Request, _ exchange: inout Exchange, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(request, exchange.peer, as: MemoryCreateParameters.init)
        try vm.refuseIfObserved()
        let name = parameters.memory
        // Looked at before the memory is made, and again when it is put in.
        try vm.memory.objects.withLock { objects throws(ProtocolError) in
            try checkFree(name, in: vm, objects)
        }
        let made: (size: ByteCount, pageSize: ByteCount, kind: MemoryObject.Kind)
        let place = try vm.kept?.place(for: parameters.source)
        let id = try vm.memory.objects.withLock { objects throws(ProtocolError) in
            guard let id = objects.nextID() else {
                throw .limit("memoriesPerPeer", "the VM has no number left for an object")
            }
            return id
        }
        switch parameters.source {
        case .made(let backing):
            made = try make(backing, vm, id, place, size: parameters.size ?? .zero)
        case .passed(let index):
            made = try adopt(index, size: parameters.size, exchange)
        }
        let reservation: MemoryReservation
        do throws(ProtocolError) {
            reservation = try vm.account.reserve(bytes: made.size.rawValue, limits)
        } catch {
            vm.discard(made.kind)
            if place == .file { vm.kept?.drop(id, place) }
            throw error
        }
        let object = MemoryObject(
            id: id, name: name, size: made.size, pageSize: made.pageSize, kind: made.kind,
            reservation: reservation, place: place)
        do throws(ProtocolError) {
            if let kept = vm.kept {
                try admit(object, to: vm, kept)
            } else {
                try vm.memory.objects.withLock { objects throws(ProtocolError) in
                    try checkFree(name, in: vm, objects)
                    objects.add(object)
                }
            }
            writer.memory(name, object.size, object.pageSize)
        } catch {
            vm.discard(made.kind)
            throw error
        }
    }

    func checkFree(
        _ name: String, in vm: VirtualMachine, _ objects: MemoryObjects
    ) throws(ProtocolError) {
        guard objects[name] == nil, vm.memory.mappings[name] == nil else {
            throw ProtocolError(.memoryExists, "there is a memory object \"\(name)\" already")
        }
    }

    private func make(
        _ backing: MemoryBacking, _ vm: VirtualMachine, _ id: MemoryObjectID,
        _ place: MemoryPlace?, size: ByteCount
    ) throws(ProtocolError) -> (size: ByteCount, pageSize: ByteCount, kind: MemoryObject.Kind) {
        guard size != .zero, size.isPageAligned else {
            throw .refusedSize("\(size) is not a multiple of 4096 above 0")
        }
        // Before anything is made: else a size could be had that the host can't even number.
        guard size.rawValue <= limits.memoryBytesPerPeer else {
            throw .limit(
                "memoryBytesPerPeer",
                "a peer's memory objects have at most \(limits.memoryBytesPerPeer) bytes")
        }
        guard backing == .guestMemfd else {
            guard place == .file, let kept = vm.kept else {
                let file = try MemoryFile.make(backing, size: size)
                return (size, file.mapped.pageSize, .mapped(file.mapped))
            }
            do throws(Errno) {
                let file = try kept.makeFile(id, size: size)
                return (size, file.pageSize, .mapped(file))
            } catch {
                throw .unavailable(backing, size, error)
            }
        }
        do throws(Errno) {
            return (size, pageSize, .guestMemfd(handle: try vm.createGuestMemfd(size: size)))
        } catch {
            throw .unavailable(backing, size, error)
        }
    }

    private func adopt(
        _ index: Int, size: ByteCount?, _ exchange: Exchange
    ) throws(ProtocolError) -> (size: ByteCount, pageSize: ByteCount, kind: MemoryObject.Kind) {
        guard let descriptor = exchange.descriptors.claim(index) else {
            throw ProtocolError(
                ErrorData(.invalidParams, path: "fd"),
                message: "fd: no descriptor \(index) came with this line, or it is taken")
        }
        let file = try MemoryFile.adopt(descriptor, size: size, user: exchange.peer.user)
        return (file.size, file.mapped.pageSize, .mapped(file.mapped))
    }

    func listMemory(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, _) = try read(request, peer, as: VMParameters.init)
        var all = vm.memory.objects.withLock { $0.all }.map { ($0.name, $0.size, $0.pageSize) }
        all += vm.memory.mappings.all.map { ($0.name, $0.mapping.size, $0.mapping.pageSize) }
        writer.beginObject()
        writer.key("memories")
        writer.beginArray()
        for memory in all.sorted(by: { $0.0 < $1.0 }) {
            writer.memory(memory.0, memory.1, memory.2)
        }
        writer.endArray()
        writer.endObject()
    }

    func destroyMemory(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(request, peer, as: MemoryParameters.init)
        // Kept until after the locks: the memory is unmapped when it is let go.
        let object = try vm.changes.withLock { () throws(ProtocolError) in
            let object = try self.object(parameters.memory, of: vm)
            guard !vm.uses(object) else {
                throw ProtocolError(
                    .memoryInUse,
                    "slots of \"\(vm.name)\" are backed by \"\(object.name)\"; "
                        + "submit an array without them first")
            }
            try forget(object, of: vm)
            return object
        }
        vm.discard(object.kind)
        writer.beginObject()
        writer.endObject()
    }

    func exportMemory(
        _ request: Request, _ exchange: inout Exchange, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(request, exchange.peer, as: MemoryParameters.init)
        let object = try object(parameters.memory, of: vm)
        guard case .mapped(let file) = object.kind else {
            throw ProtocolError(
                ErrorData(.invalidParams, path: "memory"),
                message: "memory: \"\(object.name)\" is a guest_memfd, which nobody can map")
        }
        guard object.place != .file else {
            let reason = "it is kept in a file, which can't be sealed against shrinking"
            throw ProtocolError(
                ErrorData(.invalidParams, path: "memory", reason: reason),
                message: "memory: \"\(object.name)\" is not exported: \(reason); "
                    + "a descriptor store, or an ephemeral VM, has memory that is")
        }
        guard exchange.outgoing.count < limits.descriptors else {
            throw .limit(
                "descriptors", "at most \(limits.descriptors) descriptors go with one answer")
        }
        do throws(Errno) {
            exchange.outgoing.append(try file.exported())
        } catch {
            throw ProtocolError(
                ErrorData(.limitExceeded, errno: error, limit: "descriptors"),
                message: "the server has no descriptor left: \(error)")
        }
        writer.beginObject()
        writer.key("memory")
        writer.string(object.name)
        writer.key("size")
        writer.address(object.size.rawValue)
        writer.key("fd")
        writer.integer(exchange.outgoing.count - 1)
        writer.endObject()
    }

    /// The object of this name that was made over the wire.
    private func object(
        _ name: String, of vm: VirtualMachine
    ) throws(ProtocolError) -> MemoryObject {
        if let object = vm.memory.objects.withLock({ $0[name] }) { return object }
        guard vm.memory.mappings[name] == nil else {
            throw ProtocolError(
                ErrorData(.invalidParams, path: "memory"),
                message: "memory: \"\(name)\" is a mapping of the process that serves the VM; "
                    + "it is neither passed on nor destroyed here")
        }
        throw ProtocolError(.unknownMemory, "there is no memory object \"\(name)\"")
    }
}

extension VirtualMachine {
    /// Lets memory go that no slot names.
    fileprivate func discard(_ kind: MemoryObject.Kind) {
        guard case .guestMemfd(let handle) = kind else { return }
        closeGuestMemfd(handle)
    }
}

extension JSONWriter {
    fileprivate mutating func memory(_ name: String, _ size: ByteCount, _ pageSize: ByteCount) {
        beginObject()
        key("memory")
        string(name)
        key("size")
        address(size.rawValue)
        key("pageSize")
        address(pageSize.rawValue)
        endObject()
    }
}
