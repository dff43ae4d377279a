internal import Glibc
internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func createMemory(
        _ parameters: MemoryCreateParameters, _ peer: Peer, _ descriptors: PassedDescriptors
    ) throws(ProtocolError) -> Reply {
        let vm = try vm(parameters.vm, of: peer)
        try vm.refuseIfObserved()
        let name = parameters.memory
        try Self.validate(name: name, path: "memory")
        // Checked before the memory is made, and again when it is added.
        try vm.memory.objects.withLock { objects throws(ProtocolError) in
            try checkFree(name, in: vm, objects)
        }
        let place = try vm.kept?.place(for: parameters)
        let id = try vm.memory.objects.withLock { objects throws(ProtocolError) in
            guard let id = objects.nextID() else {
                throw .limit("memoriesPerPeer", "the VM has no number left for an object")
            }
            return id
        }
        let (kind, charges): (MemoryObject.Kind, [BudgetCharge])
        switch parameters.source {
        case .made(let backing):
            let size = try validatedSize(parameters.size, in: vm)
            charges = try vm.account.reserve(bytes: size.rawValue)
            kind = try make(backing, size, vm, id, place, parameters)
        case .passed(let index):
            let file = try adopt(index, of: descriptors, size: parameters.size, peer)
            charges = try vm.account.reserve(bytes: file.size.rawValue)
            kind = .mapped(file)
        }
        var (size, pageSize) = (parameters.size ?? .zero, Memslots.pageSize)
        if case .mapped(let file) = kind { (size, pageSize) = (file.size, file.pageSize) }
        do throws(ProtocolError) {
            let object = MemoryObject(
                id: id, name: name, size: size, pageSize: pageSize, kind: kind,
                charges: charges, place: place)
            if let kept = vm.kept {
                try add(object, to: vm, kept)
            } else {
                try vm.memory.objects.withLock { objects throws(ProtocolError) in
                    try checkFree(name, in: vm, objects)
                    objects.add(object)
                }
            }
            return .memory(object.listed)
        } catch {
            vm.discard(kind)
            vm.kept?.drop(id, place)
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

    private func validatedSize(
        _ size: ByteCount?, in vm: VirtualMachine
    ) throws(ProtocolError) -> ByteCount {
        let (size, page) = (size ?? .zero, vm.table.capabilities.pageSize)
        guard size != .zero, size.isMultiple(of: page) else {
            throw .invalid("size", "\(size) is not a multiple of \(page.rawValue) above 0")
        }
        return size
    }

    private func make(
        _ backing: MemoryBacking, _ size: ByteCount, _ vm: VirtualMachine, _ id: MemoryObjectID,
        _ place: MemoryPlace?, _ parameters: MemoryCreateParameters
    ) throws(ProtocolError) -> MemoryObject.Kind {
        if backing == .guestMemfd {
            return try vm.makeGuestMemfd(size: size, isShared: parameters.isShared)
        }
        guard place == .file, let kept = vm.kept else {
            return .mapped(try MemoryFile.make(backing, size: size))
        }
        return .mapped(
            try converting(
                { (error: Errno) in ProtocolError.unavailable(backing, size, error) },
                kept.makeFile(id, size: size)))
    }

    private func adopt(
        _ index: Int, of descriptors: PassedDescriptors, size: ByteCount?, _ peer: Peer
    ) throws(ProtocolError) -> MappedFile {
        guard let descriptor = descriptors.claim(index) else {
            throw .invalid(
                "fd", "no descriptor \(index) came with this line, or it is already claimed")
        }
        return try MemoryFile.adopt(descriptor, size: size, user: peer.user)
    }

    func listMemory(of name: String, _ peer: Peer) throws(ProtocolError) -> Reply {
        let vm = try vm(name, of: peer)
        let all =
            vm.memory.objects.withLock { $0.all }.map(\.listed)
            + vm.memory.mappings.byAddress.map { $0.mapping.listed(as: $0.name) }
        return .memories(all.sorted { $0.memory < $1.memory })
    }

    func destroyMemory(
        _ memory: String, of name: String, _ peer: Peer
    ) throws(ProtocolError) -> Reply {
        let vm = try vm(name, of: peer)
        // Kept until after the locks: the memory is unmapped when it is released.
        let object = try vm.changes.withLock { _ throws(ProtocolError) in
            let object = try self.object(memory, of: vm)
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
        return .done
    }

    func exportMemory(
        _ memory: String, of name: String, _ peer: Peer
    ) throws(ProtocolError) -> Reply {
        let object = try object(memory, of: vm(name, of: peer))
        guard case .mapped(let file) = object.kind else {
            // That of a shared one would keep the kernel's VM after the end of ours.
            throw .invalid("memory", "\"\(object.name)\" is a guest_memfd, which is not passed")
        }
        guard object.place != .file else {
            let reason = "it is kept in a file, which can't be sealed against shrinking"
            throw ProtocolError(
                ErrorData(.invalidParams, path: "memory", reason: reason),
                message: "memory: \"\(object.name)\" is not exported: \(reason); "
                    + "a descriptor store, or an ephemeral VM, has memory that is")
        }
        let charge = try budgets.passedDescriptors.charged(1, to: peer.user)
        let copy = try converting(
            { (error: Errno) in
                ProtocolError(
                    ErrorData(.limitExceeded, errno: error, limit: "descriptors"),
                    message: "the server has no descriptor left: \(error)")
            }, file.exported())
        return .exported(
            memory: object.name, size: object.size, PassedDescriptors([copy], charges: [charge]))
    }

    /// The object of this name that was created over the wire.
    private func object(
        _ name: String, of vm: VirtualMachine
    ) throws(ProtocolError) -> MemoryObject {
        if let object = vm.memory.objects.withLock({ $0[name] }) { return object }
        guard vm.memory.mappings[name] == nil else {
            throw .invalid(
                "memory",
                "\"\(name)\" is a mapping of the process that serves the VM; "
                    + "it can be neither exported nor destroyed")
        }
        throw .noMemory(name, among: vm.memory.objects.withLock { $0.all.map(\.name) })
    }
}

extension VirtualMachine {
    /// Closes the guest_memfd of memory that no slot names.
    fileprivate func discard(_ kind: MemoryObject.Kind) {
        guard case .guestMemfd(let handle, _) = kind else { return }
        closeGuestMemfd(handle)
    }
}
