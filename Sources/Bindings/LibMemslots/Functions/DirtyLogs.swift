// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

@c @implementation
public func memslots_dirty_log(
    _ table: memslots_table, _ addressSpace: UInt32, _ slot: UInt32, _ firstPage: UInt64,
    _ pageCount: UInt64, _ clear: Bool, _ bitmap: UnsafeMutablePointer<UInt64>?, _ words: Int,
    _ dirtyPages: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    answer { () throws(Problem) in
        guard let bitmap else { throw .badArgument("bitmap is NULL") }
        guard firstPage % 64 == 0 else {
            throw .badArgument("first_page is not a multiple of 64")
        }
        return try with(table) { open throws(Problem) in
            let key = SlotKey(addressSpace: AddressSpaceID(addressSpace), id: SlotID(slot))
            let pages = try pages(of: key, in: open.table, firstPage, pageCount)
            let needed = (pages.count + 63) / 64
            guard words >= needed else { throw .tooSmall(capacity: words, count: needed) }
            do throws(DirtyLogError) {
                let log = try open.table.dirtyLog(of: key, pages: pages, clear: clear)
                var place = bitmap
                for word in log.bitmap.words(of: pages) {
                    place.pointee = word
                    place += 1
                }
                dirtyPages?.pointee = log.bitmap.count
            } catch {
                throw .dirtyLog(error)
            }
            return ok
        }
    }
}

/// The pages asked for. Whether the slot is still the same is looked at again by the reading.
private func pages(
    of key: SlotKey, in table: MemslotTable, _ first: UInt64, _ count: UInt64
) throws(Problem) -> Range<UInt64> {
    guard let slot = table.snapshot().array[key] else { throw .dirtyLog(.unknownSlot(key)) }
    let end = first.addingReportingOverflow(count)
    guard first <= slot.pageCount, !end.overflow, end.partialValue <= slot.pageCount else {
        throw .dirtyLog(.pagesOutOfRange(pageCount: slot.pageCount))
    }
    return first..<(count == 0 ? slot.pageCount : end.partialValue)
}
