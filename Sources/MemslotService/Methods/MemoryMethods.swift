internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots
internal import Synchronization

extension MemslotService {
    func createMemory(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(request, peer, as: MemoryCreateParameters.init)
        guard case .made(let backing) = parameters.source, let size = parameters.size else {
            throw ProtocolError(
                ErrorData(.invalidParams, path: "fd"),
                message: "fd: no descriptor came with this request")
        }
        guard size != .zero, size.isPageAligned else {
            throw ProtocolError(
                ErrorData(.invalidParams, path: "size"),
                message: "size: \(size) is not a multiple of 4096 above 0")
        }
        try checkLimits(adding: size, peer)
        let object = try vm.memories.withLock { memories throws(ProtocolError) in
            guard memories[parameters.memory] == nil else {
                throw ProtocolError(
                    .memoryExists, "there is a memory object \"\(parameters.memory)\" already")
            }
            let object = try make(
                backing, vm, id: memories.nextID(), name: parameters.memory, size: size)
            memories.add(object)
            return object
        }
        writer.memory(object)
    }

    private func checkLimits(adding size: ByteCount, _ peer: Peer) throws(ProtocolError) {
        let vms = registry.withLock { $0.all(of: peer) }
        let held = vms.reduce((count: 0, bytes: UInt64(0))) { sum, vm in
            vm.memories.withLock { (sum.count + $0.count, sum.bytes + $0.totalBytes) }
        }
        if held.count >= limits.memoriesPerPeer {
            throw ProtocolError(
                ErrorData(.limitExceeded, limit: "memoriesPerPeer"),
                message: "a peer has at most \(limits.memoriesPerPeer) memory objects")
        }
        let sum = held.bytes.addingReportingOverflow(size.rawValue)
        if sum.overflow || sum.partialValue > limits.memoryBytesPerPeer {
            throw ProtocolError(
                ErrorData(.limitExceeded, limit: "memoryBytesPerPeer"),
                message: "a peer's memory objects have at most \(limits.memoryBytesPerPeer) bytes")
        }
    }

    private func make(
        _ backing: MemoryBacking, _ vm: VirtualMachine, id: MemoryObjectID, name: String,
        size: ByteCount
    ) throws(ProtocolError) -> MemoryObject {
        do throws(Errno) {
            guard backing == .guestMemfd else {
                return try MemoryObject.make(backing, id: id, name: name, size: size)
            }
            guard let simulator = vm.simulator else { throw Errno.invalidArgument }
            return MemoryObject(
                id: id, name: name, size: size, pageSize: pageSize,
                kind: .guestMemfd(handle: try simulator.createGuestMemfd(size: size)))
        } catch {
            throw ProtocolError(
                ErrorData(.backendUnavailable, errno: error),
                message: "no \(backing.rawValue) of \(size) bytes can be had here: \(error)")
        }
    }

    func listMemory(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, _) = try read(request, peer, as: VMParameters.init)
        writer.beginObject()
        writer.key("memories")
        writer.beginArray()
        for object in vm.memories.withLock({ $0.all }) { writer.memory(object) }
        writer.endArray()
        writer.endObject()
    }

    func destroyMemory(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(request, peer, as: MemoryParameters.init)
        try vm.changes.withLock { _ throws(ProtocolError) in
            guard let object = vm.memories.withLock({ $0[parameters.memory] }) else {
                throw ProtocolError(
                    .unknownMemory, "there is no memory object \"\(parameters.memory)\"")
            }
            guard !vm.uses(object) else {
                throw ProtocolError(
                    .memoryInUse,
                    "slots of \"\(vm.name)\" are backed by \"\(object.name)\"; "
                        + "submit an array without them first")
            }
            vm.memories.withLock { $0.remove(object) }
            if case .guestMemfd(let handle) = object.kind {
                // A handle that is gone already is as good as closed.
                try? vm.simulator?.closeGuestMemfd(handle)
            }
        }
        writer.beginObject()
        writer.key("memory")
        writer.string(parameters.memory)
        writer.endObject()
    }
}

extension JSONWriter {
    fileprivate mutating func memory(_ object: MemoryObject) {
        beginObject()
        key("memory")
        string(object.name)
        key("size")
        address(object.size.rawValue)
        key("pageSize")
        address(object.pageSize.rawValue)
        endObject()
    }
}
