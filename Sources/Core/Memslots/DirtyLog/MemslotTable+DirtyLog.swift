/// Why a dirty log could not be read.
public enum DirtyLogError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The slot has no id. ``Receipt/slots`` has the ids that a submit picked.
    case slotWithoutID
    /// The array has no such slot.
    case unknownSlot(SlotKey)
    /// The slot does not log.
    case notLogging(SlotKey)
    /// The pages reach past the slot, which has `pageCount` of them.
    case pagesOutOfRange(pageCount: UInt64)
    /// The backend could not read its log.
    case backend(Errno)
    /// The table is failed.
    case failed(TableFailure)
    /// Called from inside a callback of the same table; waiting would deadlock.
    case reentrant(ReentryError)

    /// A sentence that says what is wrong and what to do.
    public var message: String {
        switch self {
        case .slotWithoutID:
            "the slot has no id; pass one of the receipt's slots, which have theirs"
        case .unknownSlot(let key): "there is no slot \(key)"
        case .notLogging(let key):
            "slot \(key) does not log dirty pages; submit it with log-dirty-pages"
        case .pagesOutOfRange(let pageCount): "the pages reach past the slot's \(pageCount) pages"
        case .backend(let errno): "the dirty log could not be read (\(errno)); no bit is lost"
        case .failed(let failure): failure.message
        case .reentrant(let error): error.message
        }
    }

    /// The message.
    public var description: String { message }
}

extension MemslotTable {
    /// Returns the dirty pages of a slot: the kernel's bits and those carried over to it.
    ///
    /// - Parameters:
    ///   - slot: a slot that logs, such as one of ``Receipt/slots``; only its key is used.
    ///   - pages: relative to the slot's first page; the whole slot by default.
    ///   - clear: whether exactly the returned bits are clear afterwards.
    /// - Returns: the slot's bits within `pages`, in a bitmap of the whole slot, and `pages`.
    /// - Throws: ``DirtyLogError``; all bits are then as before.
    public func dirtyLog(
        of slot: Memslot, pages: Range<UInt64>? = nil, clear: Bool = false
    ) throws(DirtyLogError) -> (bitmap: DirtyBitmap, pages: Range<UInt64>) {
        guard let key = slot.key else { throw .slotWithoutID }
        return try dirtyLog(of: key, pages: pages, clear: clear)
    }

    /// As the function above, of the slot that `key` names.
    public func dirtyLog(
        of key: SlotKey, pages: Range<UInt64>? = nil, clear: Bool = false
    ) throws(DirtyLogError) -> (bitmap: DirtyBitmap, pages: Range<UInt64>) {
        try serially(DirtyLogError.reentrant) { () throws(DirtyLogError) in
            try readLog(key, pages, clear)
        }
    }

    private func readLog(
        _ key: SlotKey, _ pages: Range<UInt64>?, _ clear: Bool
    ) throws(DirtyLogError) -> (bitmap: DirtyBitmap, pages: Range<UInt64>) {
        if let failure { throw .failed(failure) }
        guard let slot = pair.current.array[key] else { throw .unknownSlot(key) }
        guard slot.isLogging else { throw .notLogging(key) }
        let count = capabilities.pageCount(of: slot)
        let pages = pages ?? 0..<count
        guard pages.upperBound <= count else { throw .pagesOutOfRange(pageCount: count) }
        try converting(DirtyLogError.backend, collectLogs(of: [slot], clear: clear))
        var bitmap = overlay.bitmap(of: slot)
        bitmap.remove(0..<pages.lowerBound)
        bitmap.remove(pages.upperBound..<count)
        if clear { overlay.clear(pages, of: slot) }
        return (bitmap, pages)
    }

    /// Returns the dirty pages of memory that any number of slots map, at one moment.
    ///
    /// - Parameters:
    ///   - pages: relative to the memory's first page.
    ///   - pageCount: how many pages the memory has.
    ///   - clear: whether exactly the returned bits are clear afterwards, in every slot.
    ///   - start: the offset in the memory at which a slot begins; `nil` if the slot maps none of it.
    /// - Returns: the bits, and the pages that slots log; `nil` if no slot that maps the memory logs.
    /// - Throws: ``DirtyLogError``; all bits are then as before.
    package func dirtyLog(
        ofMemoryPages pages: Range<UInt64>, of pageCount: UInt64, clear: Bool,
        start: (Memslot) -> ByteCount?
    ) throws(DirtyLogError) -> (bitmap: DirtyBitmap, logged: DirtyBitmap)? {
        try serially(DirtyLogError.reentrant) {
            () throws(DirtyLogError) -> (bitmap: DirtyBitmap, logged: DirtyBitmap)? in
            if let failure { throw .failed(failure) }
            let parts = pair.current.array.slots.compactMap { slot in
                slot.isLogging
                    ? start(slot).map { (slot: slot, first: $0.pages(of: capabilities.pageSize)) }
                    : nil
            }
            guard !parts.isEmpty else { return nil }
            func common(_ first: UInt64, _ own: Range<UInt64>) -> Range<UInt64> {
                (first + own.lowerBound..<first + own.upperBound).clamped(to: pages)
            }
            let wanted = parts.filter {
                !common($0.first, 0..<capabilities.pageCount(of: $0.slot)).isEmpty
            }
            try converting(DirtyLogError.backend, collectLogs(of: wanted.map(\.slot), clear: clear))
            var bitmap = DirtyBitmap(pageCount: pageCount)
            var logged = bitmap
            for (slot, first) in wanted {
                let part = common(first, 0..<capabilities.pageCount(of: slot))
                logged.insert(part)
                for run in overlay.bitmap(of: slot).runs { bitmap.insert(common(first, run)) }
                if clear {
                    overlay.clear(part.lowerBound - first..<part.upperBound - first, of: slot)
                }
            }
            return (bitmap, logged)
        }
    }

    /// Adds the backend's bits of `slots` to the overlay.
    private func collectLogs(of slots: [Memslot], clear: Bool) throws(Errno) {
        backend.collectDirtyPages()
        for slot in slots {
            overlay.add(try backend.readDirtyLog(of: slot, clear: clear), to: slot)
        }
        overlay.collect(from: transactionHooks, for: pair.current.array.slots)
    }

    /// Returns the dirty pages that no slot of a planned array maps, without losing any.
    func plannedUnmappedPages(_ wanted: WantedArray) throws(SubmitError) -> [DirtyPages] {
        var harvest: [Harvested] = []
        for operation in wanted.plan.operations where operation.call.endsLogging {
            guard let slot = operation.call.before else { continue }
            try converting(
                { SubmitError.rolledBack(.init(errno: $0, operation: nil, call: nil)) },
                collectLogs(of: [slot], clear: false))
            harvest.append(Harvested(slot: slot, bits: overlay.bitmap(of: slot)))
        }
        // An empty one: what is kept now is of the present slots, not of those to come.
        var scratch = DirtyOverlay(pageSize: capabilities.pageSize)
        return scratch.carry(harvest, to: wanted.slots)
    }
}
