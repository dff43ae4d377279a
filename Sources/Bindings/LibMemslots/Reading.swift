// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

/// A reader that the caller has registered.
// Sendable: the header allows one thread at a time. Any thread may close the handle; the reader then
// lives until it has left.
final class OpenReader: @unchecked Sendable {
    let reader: TableReader
    // Keeps the table, whose arrays the reader uses.
    let table: OpenTable

    init(_ table: OpenTable, name: String) {
        self.table = table
        reader = table.table.makeReader(as: name)
    }
}

@c @implementation public func memslots_translate(
    _ table: memslots_table, _ addressSpace: UInt32, _ address: UInt64,
    _ span: UnsafeMutablePointer<memslots_span>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        guard let span else { throw .badArgument("span is NULL") }
        let address = GuestPhysicalAddress(address)
        let found = open.table.read { now in
            now.array.slot(at: address, in: AddressSpaceID(addressSpace))
        }
        guard let found else { throw .notMapped(address) }
        let offset = address.rawValue - found.guestPhysicalAddress.rawValue
        span.pointee = memslots_span(
            guest_physical_address: address.rawValue, size: found.size.rawValue - offset,
            address: UnsafeMutableRawPointer(
                bitPattern: UInt(found.userspaceAddress.rawValue + offset)),
            slot: found.assignedID.rawValue, flags: found.flags.rawValue)
    }
}

@c @implementation public func memslots_reader_open(
    _ table: memslots_table, _ name: UnsafePointer<CChar>?,
    _ reader: UnsafeMutablePointer<memslots_reader>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        guard let reader else { throw .badArgument("reader is NULL") }
        reader.pointee.value = try HandleTable.shared.open(
            OpenReader(open, name: string(name) ?? "reader"), as: .reader)
    }
}

@c @implementation public func memslots_reader_close(_ reader: memslots_reader) -> Int32 {
    returnCode { () throws(Problem) in try HandleTable.shared.close(reader.value, .reader) }
}

@c @implementation public func memslots_reader_enter(
    _ reader: memslots_reader, _ view: UnsafeMutablePointer<memslots_view>?
) -> Int32 {
    returnCode { () throws(Problem) in
        guard let view else { throw .badArgument("view is NULL") }
        // Held until the view is left, even if another thread closes the reader.
        let open = HandleTable.shared.hold(reader.value, .reader, as: OpenReader.self)
        guard let open else { throw .badHandle(.reader) }
        guard let visit = open.reader.enterUnscoped() else {
            HandleTable.shared.release(reader.value)
            throw .alreadyInside
        }
        view.pointee = memslots_view(
            reader: reader.value, ticket: visit.ticket, generation: visit.generation.rawValue,
            array: UnsafeRawPointer(Unmanaged.passUnretained(open).toOpaque()))
    }
}

@c @implementation
public func memslots_reader_leave(_ view: UnsafeMutablePointer<memslots_view>?) -> Int32 {
    returnCode { () throws(Problem) in
        guard let view else { throw .badArgument("view is NULL") }
        let handle = view.pointee.reader
        try inside(view) { reader throws(Problem) in
            guard reader.reader.leaveUnscoped(view.pointee.ticket) else { throw .notInside }
        }
        view.pointee = memslots_view()
        HandleTable.shared.release(handle)
    }
}

/// Runs `body` with the reader of an entered view. Does not change a reference count.
private func inside<R>(
    _ view: UnsafePointer<memslots_view>?, _ body: (OpenReader) throws(Problem) -> R
) throws(Problem) -> R {
    guard let view else { throw .badArgument("view is NULL") }
    guard let array = view.pointee.array else { throw .notInside }
    let reader = Unmanaged<OpenReader>.fromOpaque(array)
    return try reader._withUnsafeGuaranteedRef { reader in
        Result { () throws(Problem) in try body(reader) }
    }.get()
}

@c @implementation public func memslots_view_translate(
    _ view: UnsafePointer<memslots_view>?, _ addressSpace: UInt32, _ address: UInt64,
    _ size: UInt64, _ list: UnsafeMutablePointer<memslots_span>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    translate(view, list, capacity, count) { spans throws(Problem) in
        try spans.append(
            memslots_range(guest_physical_address: address, size: size), in: addressSpace)
    }
}

@c @implementation public func memslots_view_translate_bulk(
    _ view: UnsafePointer<memslots_view>?, _ addressSpace: UInt32,
    _ ranges: UnsafePointer<memslots_range>?, _ rangeCount: Int,
    _ list: UnsafeMutablePointer<memslots_span>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    translate(view, list, capacity, count) { spans throws(Problem) in
        guard let ranges, rangeCount >= 0 else {
            if rangeCount == 0 { return }
            throw .badArgument("ranges is NULL")
        }
        for index in 0..<rangeCount {
            do throws(Problem) { try spans.append(ranges[index], in: addressSpace) } catch {
                count?.pointee = index
                throw error
            }
        }
    }
}

private func translate(
    _ view: UnsafePointer<memslots_view>?, _ list: UnsafeMutablePointer<memslots_span>?,
    _ capacity: Int, _ count: UnsafeMutablePointer<Int>?,
    _ body: (inout SpanList) throws(Problem) -> Void
) -> Int32 {
    returnCode { () throws(Problem) in
        try inside(view) { open throws(Problem) in
            guard let view, let count, list != nil || capacity == 0, capacity >= 0 else {
                throw .badArgument("count or the list is NULL")
            }
            guard open.reader.isInside(view.pointee.ticket) else { throw .notInside }
            var spans = SpanList(reader: open, list: list, capacity: capacity)
            count.pointee = 0
            try body(&spans)
            count.pointee = spans.count
            guard spans.count <= capacity else {
                throw .tooSmall(capacity: capacity, count: spans.count)
            }
        }
    }
}

/// The spans of guest ranges. Those that fit are in the caller's list.
private struct SpanList {
    let reader: OpenReader
    let list: UnsafeMutablePointer<memslots_span>?
    let capacity: Int
    var count = 0

    /// Adds the spans of `range`, or the first address that is not mapped, and throws `notMapped`.
    mutating func append(_ range: memslots_range, in addressSpace: UInt32) throws(Problem) {
        var (address, left) = (range.guest_physical_address, range.size)
        while left > 0 {
            let found = reader.reader.viewUnscoped().translate(
                GuestPhysicalAddress(address), in: AddressSpaceID(addressSpace))
            guard let found else { throw missing(address) }
            let size = min(left, found.contiguousSize.rawValue)
            append(
                memslots_span(
                    guest_physical_address: address, size: size,
                    address: UnsafeMutableRawPointer(
                        bitPattern: UInt(found.userspaceAddress.rawValue)),
                    slot: found.slot.rawValue, flags: found.flags.rawValue))
            left -= size
            // No slot reaches past 2^64, so a longer range is not mapped.
            let next = address.addingReportingOverflow(size)
            if next.overflow && left > 0 { throw missing(0) }
            address = next.partialValue
        }
    }

    private mutating func append(_ span: memslots_span) {
        if count < capacity, let list { (list + count).initialize(to: span) }
        count += 1
    }

    private func missing(_ address: UInt64) -> Problem {
        if capacity > 0, let list {
            var span = memslots_span()
            span.guest_physical_address = address
            list.initialize(to: span)
        }
        return .notMapped(GuestPhysicalAddress(address))
    }
}
