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
        let key = try SlotKey(parameters)
        guard let slot = vm.feed.published.table.array[key] else {
            throw ProtocolError(DirtyLogError.unknownSlot(key))
        }
        guard slot.isLogging else { throw ProtocolError(DirtyLogError.notLogging(key)) }
        let pages = try Self.pages(parameters, of: slot)
        guard UInt64(pages.count) <= limits.dirtyLogPages else {
            throw .limit(
                "dirtyLogPages", path: "pageCount",
                "\(pages.count) pages at once; the limit is \(limits.dirtyLogPages), "
                    + "read the slot in parts")
        }
        do throws(DirtyLogError) {
            let log = try vm.table.dirtyLog(of: key, pages: pages, clear: parameters.clears)
            return .dirtyLog(
                pageCount: UInt64(log.pages.count), dirtyCount: log.bitmap.count,
                bitmap: log.bitmap.bytes(of: log.pages))
        } catch {
            throw ProtocolError(error)
        }
    }

    private static func pages(
        _ parameters: DirtyLogParameters, of slot: Memslot
    ) throws(ProtocolError) -> Range<UInt64> {
        guard parameters.firstPage <= slot.pageCount else {
            throw outOfRange("firstPage", parameters.firstPage, slot)
        }
        let rest = slot.pageCount - parameters.firstPage
        let count = parameters.pageCount ?? rest
        guard count <= rest else { throw outOfRange("pageCount", count, slot) }
        return parameters.firstPage..<parameters.firstPage + count
    }

    private static func outOfRange(
        _ member: String, _ value: UInt64, _ slot: Memslot
    ) -> ProtocolError {
        .invalid(
            member,
            "\(value) reaches past the \(slot.pageCount) pages of slot \(slot.assignedKey)")
    }
}

extension SlotKey {
    /// The slot that a request names. A number that the kernel can't represent names no slot.
    fileprivate init(_ parameters: DirtyLogParameters) throws(ProtocolError) {
        guard let id = UInt32(exactly: parameters.slot),
            let space = UInt32(exactly: parameters.addressSpace)
        else {
            throw ProtocolError(
                ErrorData(
                    .unknownSlot, slot: parameters.slot, addressSpace: parameters.addressSpace),
                message: "there is no slot \(parameters.slot)")
        }
        self.init(addressSpace: AddressSpaceID(space), id: SlotID(id))
    }
}
