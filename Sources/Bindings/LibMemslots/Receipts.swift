// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Glibc
import Memslots

/// The lists and texts of a receipt.
// Sendable: filled before the caller gets the handle, and constant afterwards.
final class ReceiptDetails: @unchecked Sendable {
    private(set) var receipt: Receipt?
    private(set) var warnings: [UnsafeMutablePointer<CChar>?] = []
    private(set) var readers: [UnsafeMutablePointer<CChar>?] = []
    /// At most one.
    private(set) var holdReasons: [UnsafeMutablePointer<CChar>?] = []

    deinit { for text in warnings + readers + holdReasons { free(text) } }

    func fill(_ receipt: Receipt) {
        self.receipt = receipt
        warnings = receipt.warnings.map { strdup($0) }
        readers = receipt.readers.map { strdup($0) }
        holdReasons = receipt.holdReason.map { [strdup($0.rawValue)] } ?? []
    }
}

extension memslots_receipt {
    mutating func fill(_ receipt: Receipt, details: UInt64) {
        generation = receipt.generation.rawValue
        outcome = UInt32(receipt.outcome == .committed ? MEMSLOTS_COMMITTED : MEMSLOTS_UNCHANGED)
        func count(_ list: [some Any]) -> UInt32 { UInt32(clamping: list.count) }
        (added, removed) = (count(receipt.diff.added), count(receipt.diff.removed))
        (moved, reflagged) = (count(receipt.diff.moved), count(receipt.diff.reflagged))
        operations = count(receipt.operations)
        unmapped_dirty_runs = UInt32(
            clamping: receipt.unmappedDirtyPages.reduce(0) { $0 + $1.runs.count })
        (warnings, readers) = (count(receipt.warnings), count(receipt.readers))
        (quiesced, retired) = (receipt.quiesced, receipt.retired)
        is_optimal = receipt.isOptimal
        let times = receipt.durations.nanoseconds
        (blackout_nanoseconds, total_nanoseconds) = (times.blackout, times.total)
        self.details = details
    }
}

/// Runs `body` with the details of a filled receipt.
private func details<R>(
    of receipt: UnsafePointer<memslots_receipt>?, _ body: (ReceiptDetails) throws(Problem) -> R
) throws(Problem) -> R {
    guard let receipt else { throw .badArgument("receipt is NULL") }
    return try HandleTable.shared.with(
        receipt.pointee.details, .receipt, as: ReceiptDetails.self, body)
}

/// Fills a caller's list with what a receipt contains.
private func fill<Source, Element>(
    _ list: UnsafeMutablePointer<Element>?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?,
    of receipt: UnsafePointer<memslots_receipt>?, _ elements: (Receipt) -> [Source],
    _ convert: (Source) -> Element
) -> Int32 {
    returnCode { () throws(Problem) in
        let source = try details(of: receipt) { $0.receipt.map(elements) ?? [] }
        try fill(list, capacity, count, from: source, convert)
    }
}

@c @implementation public func memslots_receipt_operations(
    _ receipt: UnsafePointer<memslots_receipt>?, _ list: UnsafeMutablePointer<memslots_operation>?,
    _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> Int32 { fill(list, capacity, count, of: receipt, { $0.operations }, memslots_operation.init) }

@c @implementation public func memslots_receipt_slots(
    _ receipt: UnsafePointer<memslots_receipt>?, _ list: UnsafeMutablePointer<memslots_slot>?,
    _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> Int32 { fill(list, capacity, count, of: receipt, { $0.slots }, memslots_slot.init) }

@c @implementation public func memslots_receipt_dirty_runs(
    _ receipt: UnsafePointer<memslots_receipt>?, _ list: UnsafeMutablePointer<memslots_dirty_run>?,
    _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    fill(
        list, capacity, count, of: receipt,
        { $0.unmappedDirtyPages.flatMap { pages in pages.runs.map { (pages.slot, $0) } } }
    ) { slot, run in
        memslots_dirty_run(
            slot: memslots_slot(slot), first_page: run.lowerBound, page_count: UInt64(run.count))
    }
}

@c @implementation public func memslots_receipt_warning(
    _ receipt: UnsafePointer<memslots_receipt>?, _ index: Int
) -> UnsafePointer<CChar>? { text(of: receipt, at: index, in: \.warnings) }

@c @implementation public func memslots_receipt_reader(
    _ receipt: UnsafePointer<memslots_receipt>?, _ index: Int
) -> UnsafePointer<CChar>? { text(of: receipt, at: index, in: \.readers) }

@c @implementation public func memslots_receipt_hold_reason(
    _ receipt: UnsafePointer<memslots_receipt>?
) -> UnsafePointer<CChar>? { text(of: receipt, at: 0, in: \.holdReasons) }

private func text(
    of receipt: UnsafePointer<memslots_receipt>?, at index: Int,
    in list: KeyPath<ReceiptDetails, [UnsafeMutablePointer<CChar>?]>
) -> UnsafePointer<CChar>? {
    // The text outlives this call, because the receipt's handle keeps it.
    let text = try? details(of: receipt) { details throws(Problem) in
        let texts = details[keyPath: list]
        return texts.indices.contains(index) ? texts[index] : nil
    }
    return text.flatMap { UnsafePointer($0) }
}

@c @implementation
public func memslots_receipt_release(_ receipt: UnsafeMutablePointer<memslots_receipt>?) {
    guard let receipt, receipt.pointee.details != 0 else { return }
    // The function has no code to return: a copy of the receipt may have been released already.
    _ = try? HandleTable.shared.close(receipt.pointee.details, .receipt)
    receipt.pointee.details = 0
}
