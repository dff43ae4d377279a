// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

@c @implementation public func memslots_submit(
    _ table: memslots_table, _ list: UnsafePointer<memslots_slot>?, _ count: Int,
    _ options: UnsafePointer<memslots_submit_options>?,
    _ receipt: UnsafeMutablePointer<memslots_receipt>?
) -> Int32 {
    transact(table, list, count, options, receipt) { table, slots, options throws(SubmitError) in
        try table.submit(slots, options: options)
    }
}

@c @implementation public func memslots_plan(
    _ table: memslots_table, _ list: UnsafePointer<memslots_slot>?, _ count: Int,
    _ options: UnsafePointer<memslots_submit_options>?,
    _ receipt: UnsafeMutablePointer<memslots_receipt>?
) -> Int32 {
    transact(table, list, count, options, receipt) { table, slots, options throws(SubmitError) in
        try table.plan(slots, options: options)
    }
}

private func transact(
    _ table: memslots_table, _ list: UnsafePointer<memslots_slot>?, _ count: Int,
    _ options: UnsafePointer<memslots_submit_options>?,
    _ receipt: UnsafeMutablePointer<memslots_receipt>?,
    _ body: (MemslotTable, [Memslot], SubmitOptions) throws(SubmitError) -> Receipt
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        if let receipt { try SizedStructure.check(receipt) }
        let options = try SubmitOptions(SizedStructure.read(options, before: \.continuity))
        let array = try slots(list, count)
        // The handle comes first: after the commit nothing may fail.
        let details = receipt == nil ? nil : ReceiptDetails()
        var handle: UInt64 = 0
        if let details { handle = try HandleTable.shared.open(details, as: .receipt) }
        do throws(SubmitError) {
            let result = try body(open.table, array, options)
            details?.fill(result)
            receipt?.pointee.fill(result, details: handle)
        } catch {
            if details != nil { try HandleTable.shared.close(handle, .receipt) }
            throw .submit(error)
        }
    }
}

extension SubmitOptions {
    fileprivate init(_ options: memslots_submit_options?) throws(Problem) {
        self.init()
        guard let options else { return }
        if options.always_quiesce && options.continuity {
            throw .badArgument("always_quiesce and continuity exclude each other; set one")
        }
        if options.has_expected_generation {
            expectedGeneration = Generation(options.expected_generation)
        }
        if options.always_quiesce { quiesce = .always }
        if options.continuity { quiesce = .continuity }
        if options.quiesce_deadline_milliseconds != 0 {
            quiesceDeadline = .milliseconds(Int64(options.quiesce_deadline_milliseconds))
        }
        guard options.sets_private_ranges else { return }
        privateRanges = try guestRanges(options.private_ranges, options.private_range_count)
    }
}

/// The private ranges of a caller's structure.
func guestRanges(
    _ list: UnsafePointer<memslots_range>?, _ count: Int
) throws(Problem) -> [GuestRange] {
    guard count == 0 || list != nil, 0...1 << 24 ~= count else {
        throw .badArgument("private_ranges is NULL, or private_range_count above 2^24")
    }
    return UnsafeBufferPointer(start: list, count: count).map {
        GuestRange(
            address: GuestPhysicalAddress($0.guest_physical_address), size: ByteCount($0.size))
    }
}

@c @implementation public func memslots_get(
    _ table: memslots_table, _ list: UnsafeMutablePointer<memslots_slot>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?, _ generation: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        let now = open.table.snapshot()
        generation?.pointee = now.generation.rawValue
        try fill(list, capacity, count, from: now.array.slots, memslots_slot.init)
    }
}

@c @implementation public func memslots_get_private_ranges(
    _ table: memslots_table, _ list: UnsafeMutablePointer<memslots_range>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?, _ generation: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        let now = open.table.snapshot()
        generation?.pointee = now.generation.rawValue
        try fill(list, capacity, count, from: now.privateRanges) {
            memslots_range(guest_physical_address: $0.address.rawValue, size: $0.size.rawValue)
        }
    }
}

@c @implementation public func memslots_failure(
    _ table: memslots_table, _ list: UnsafeMutablePointer<memslots_slot>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        guard let failure = open.table.failure else {
            throw .notSupported("the table has not failed; memslots_get() returns its slots")
        }
        try fill(list, capacity, count, from: failure.installed, memslots_slot.init)
    }
}

@c @implementation public func memslots_recover(_ table: memslots_table) -> Int32 {
    returnCode(table) { open throws(Problem) in
        try converting(Problem.submit, open.table.recover())
    }
}

@c @implementation public func memslots_release_vcpus(_ table: memslots_table) -> Int32 {
    returnCode(table) { open in open.table.releaseVCPUs() }
}

@c @implementation public func memslots_dirty_log(
    _ table: memslots_table, _ addressSpace: UInt32, _ slot: UInt32, _ firstPage: UInt64,
    _ pageCount: UInt64, _ clear: Bool, _ bitmap: UnsafeMutablePointer<UInt64>?, _ words: Int,
    _ dirtyPages: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        guard let bitmap else { throw .badArgument("bitmap is NULL") }
        guard firstPage % 64 == 0 else { throw .badArgument("first_page is not a multiple of 64") }
        let key = SlotKey(addressSpace: AddressSpaceID(addressSpace), id: SlotID(slot))
        let pages = try pages(of: key, in: open.table, firstPage, pageCount)
        let needed = (pages.count + 63) / 64
        guard words >= needed else { throw .tooSmall(capacity: words, count: needed) }
        let log = try converting(
            Problem.dirtyLog, open.table.dirtyLog(of: key, pages: pages, clear: clear))
        for (index, word) in log.bitmap.words(of: pages).enumerated() { bitmap[index] = word }
        dirtyPages?.pointee = log.bitmap.count
    }
}

/// The requested pages. The slot may change before the log is read, which then checks it again.
private func pages(
    of key: SlotKey, in table: MemslotTable, _ first: UInt64, _ count: UInt64
) throws(Problem) -> Range<UInt64> {
    guard let slot = table.snapshot().array[key] else { throw .dirtyLog(.unknownSlot(key)) }
    let end = first.addingReportingOverflow(count)
    let all = table.capabilities.pageCount(of: slot)
    guard first <= all, !end.overflow, end.partialValue <= all else {
        throw .dirtyLog(.pagesOutOfRange(pageCount: all))
    }
    return first..<(count == 0 ? all : end.partialValue)
}
