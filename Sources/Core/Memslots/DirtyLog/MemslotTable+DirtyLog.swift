/// Why a dirty log could not be told.
public enum DirtyLogError: Error, Hashable, Sendable {
    /// The array has no such slot.
    case unknownSlot(SlotKey)
    /// The slot does not log.
    case notLogging(SlotKey)
    /// The pages asked for are not all in the slot, which has `pageCount`.
    case pagesOutOfRange(pageCount: UInt64)
    /// The backend could not read its log.
    case backend(Errno)
    /// The table is failed.
    case failed(TableFailure)
    /// Asked from a place in which it would wait for itself.
    case reentrant(ReentryError)
}

extension MemslotTable {
    /// The dirty pages of a slot: the kernel's bits and those carried over to it, together.
    ///
    /// - Parameters:
    ///   - key: a slot that logs.
    ///   - pages: relative to the slot's first page; the whole slot by default.
    ///   - clear: whether exactly the answered bits are clear afterwards.
    /// - Returns: the slot's bits within `pages`, in a bitmap of the whole slot, and `pages`.
    /// - Throws: see ``DirtyLogError``; all bits are then as before.
    public func dirtyLog(
        of key: SlotKey, pages: Range<UInt64>? = nil, clear: Bool = false
    ) throws(DirtyLogError) -> (bitmap: DirtyBitmap, pages: Range<UInt64>) {
        let result: Result<(bitmap: DirtyBitmap, pages: Range<UInt64>), DirtyLogError>
        do throws(ReentryError) {
            result = try serially {
                do throws(DirtyLogError) {
                    return .success(try readLog(key, pages, clear))
                } catch {
                    return .failure(error)
                }
            }
        } catch {
            throw .reentrant(error)
        }
        return try result.get()
    }

    private func readLog(
        _ key: SlotKey, _ pages: Range<UInt64>?, _ clear: Bool
    ) throws(DirtyLogError) -> (bitmap: DirtyBitmap, pages: Range<UInt64>) {
        if let failure { throw .failed(failure) }
        guard let slot = pair.current.array[key] else { throw .unknownSlot(key) }
        guard slot.isLogging else { throw .notLogging(key) }
        let pages = pages ?? 0..<slot.pageCount
        guard pages.upperBound <= slot.pageCount else {
            throw .pagesOutOfRange(pageCount: slot.pageCount)
        }
        do throws(Errno) {
            try takeOver(slot, clear: clear)
        } catch {
            throw .backend(error)
        }
        var bitmap = overlay.bitmap(of: slot)
        bitmap.remove(0..<pages.lowerBound)
        bitmap.remove(pages.upperBound..<slot.pageCount)
        if clear { overlay.clear(pages, of: slot) }
        return (bitmap, pages)
    }

    /// Brings the backend's bits of `slot` into the overlay.
    private func takeOver(_ slot: Memslot, clear: Bool) throws(Errno) {
        backend.dirtyLogsWillBeRead()
        overlay.add(try backend.readDirtyLog(of: slot, clear: clear), to: slot)
    }

    /// The dirty pages that a plan would hand back, found without losing any.
    func foreseeUnmappedPages(_ wanted: WantedArray) throws(SubmitError) -> [DirtyPages] {
        var harvest: [Harvested] = []
        for operation in wanted.plan.operations where operation.call.endsLogging {
            guard let slot = operation.call.before else { continue }
            do throws(Errno) {
                try takeOver(slot, clear: false)
            } catch {
                throw .rolledBack(
                    SubmitError.Rollback(errno: error, operation: nil, call: nil))
            }
            harvest.append(Harvested(slot: slot, bits: overlay.bitmap(of: slot)))
        }
        // An empty one: what is kept now is of the present slots, not of those to come.
        var scratch = DirtyOverlay()
        return scratch.carry(harvest, to: wanted.slots)
    }
}
