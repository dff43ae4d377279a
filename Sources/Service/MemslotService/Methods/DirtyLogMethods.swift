internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func getDirtyLog(
        _ parameters: DirtyLogParameters, _ peer: Peer
    ) throws(ProtocolError) -> Reply {
        let vm = try vm(parameters.vm, of: peer, refusingFailed: true)
        guard peer.role == .full || !parameters.clears else {
            throw ProtocolError(.notPermitted, "this peer may only read: omit clear")
        }
        guard vm.observed == nil else {
            throw ProtocolError(
                .wrongBackend,
                "\"\(vm.name)\" is another process's VM, which reads its dirty log itself")
        }
        defer { if parameters.clears { vm.dirty.recordClearing() } }
        if let memory = parameters.memory { return try getDirtyLog(of: memory, vm, parameters) }
        let key = try SlotKey(parameters)
        guard let slot = vm.feed.published.table.array[key] else {
            throw ProtocolError(DirtyLogError.unknownSlot(key))
        }
        guard slot.isLogging else { throw ProtocolError(DirtyLogError.notLogging(key)) }
        let page = vm.table.capabilities.pageSize
        let count = slot.size.pages(of: page)
        let pages = try pages(parameters, of: count, in: "slot \(key)")
        if parameters.clears { try vm.chargeClearing(pages, of: count) }
        let log = try converting(
            { (error: DirtyLogError) in ProtocolError(error) },
            vm.table.dirtyLog(of: key, pages: pages, clear: parameters.clears))
        return .dirtyLog(
            pageCount: UInt64(log.pages.count), dirtyCount: log.bitmap.count, pageSize: page,
            bitmap: log.bitmap.bytes(of: log.pages))
    }

    /// The dirty pages of a memory object: each once, whatever slots of any address space map it.
    private func getDirtyLog(
        of name: String, _ vm: VirtualMachine, _ parameters: DirtyLogParameters
    ) throws(ProtocolError) -> Reply {
        let memory = try vm.memory.object(name)
        let page = vm.table.capabilities.pageSize
        let count = memory.size.pages(of: page)
        let pages = try pages(parameters, of: count, in: "memory object \"\(name)\"")
        // Its slots may begin in the middle of a chunk of its pages.
        if parameters.clears, pages.count < count { try vm.chargeCutChunks() }
        let log = try converting(
            { (error: DirtyLogError) in ProtocolError(error) },
            vm.table.dirtyLog(
                ofMemoryPages: pages, of: count, clear: parameters.clears, start: memory.start))
        guard let log else {
            throw ProtocolError(
                .notLogging,
                "no slot that maps memory object \"\(name)\" logs dirty pages; "
                    + "submit one with log-dirty-pages")
        }
        return .dirtyLog(
            pageCount: UInt64(pages.count), loggedCount: log.logged.count,
            dirtyCount: log.bitmap.count, pageSize: page, bitmap: log.bitmap.bytes(of: pages))
    }

    /// The pages that a request selects of `count`, the pages of `whole`.
    private func pages(
        _ parameters: DirtyLogParameters, of count: UInt64, in whole: String
    ) throws(ProtocolError) -> Range<UInt64> {
        func outOfRange(_ member: String, _ value: UInt64) -> ProtocolError {
            .invalid(member, "\(value) reaches past the \(count) pages of \(whole)")
        }
        guard parameters.firstPage <= count else {
            throw outOfRange("firstPage", parameters.firstPage)
        }
        let rest = count - parameters.firstPage
        let wanted = parameters.pageCount ?? rest
        guard wanted <= rest else { throw outOfRange("pageCount", wanted) }
        guard wanted <= limits.dirtyLogPages else {
            throw .limit(
                "dirtyLogPages", path: "pageCount",
                "\(wanted) pages at once; the limit is \(limits.dirtyLogPages), "
                    + "read \(whole) in parts")
        }
        return parameters.firstPage..<parameters.firstPage + wanted
    }
}

extension SlotKey {
    /// The slot that a request names. A number that the kernel can't represent names no slot.
    fileprivate init(_ parameters: DirtyLogParameters) throws(ProtocolError) {
        let (slot, space) = (parameters.slot ?? 0, parameters.addressSpace ?? 0)
        guard let id = UInt32(exactly: slot), let number = UInt32(exactly: space) else {
            throw ProtocolError(
                ErrorData(.unknownSlot, slot: slot, addressSpace: space),
                message: "there is no slot \(slot)")
        }
        self.init(addressSpace: AddressSpaceID(number), id: SlotID(id))
    }
}

extension VMMemory {
    /// The memory of this name: its size, and where in it a slot begins that maps it.
    fileprivate func object(
        _ name: String
    ) throws(ProtocolError) -> (size: ByteCount, start: (Memslot) -> ByteCount?) {
        if let object = objects.withLock({ $0[name] }) {
            return (object.size, { $0.memory?.object == object.id ? $0.memory?.offset : nil })
        }
        guard let mapping = mappings[name] else {
            throw .noMemory(name, among: objects.withLock { $0.all.map(\.name) })
        }
        return (
            mapping.size,
            { [mappings] slot in
                guard let found = mappings.covering(slot), Name(found.name) == Name(name) else {
                    return nil
                }
                return found.offset
            }
        )
    }
}
