// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

@c @implementation
public func memslots_submit(
    _ table: memslots_table, _ list: UnsafePointer<memslots_slot>?, _ count: Int,
    _ options: UnsafePointer<memslots_submit_options>?,
    _ receipt: UnsafeMutablePointer<memslots_receipt>?
) -> Int32 {
    transact(table, list, count, options, receipt) { table, slots, options throws(SubmitError) in
        try table.submit(slots, options: options)
    }
}

@c @implementation
public func memslots_plan(
    _ table: memslots_table, _ list: UnsafePointer<memslots_slot>?, _ count: Int,
    _ options: UnsafePointer<memslots_submit_options>?,
    _ receipt: UnsafeMutablePointer<memslots_receipt>?
) -> Int32 {
    transact(table, list, count, options, receipt) { table, slots, options throws(SubmitError) in
        try table.plan(slots, options: options)
    }
}

private func transact(
    _ handle: memslots_table, _ list: UnsafePointer<memslots_slot>?, _ count: Int,
    _ options: UnsafePointer<memslots_submit_options>?,
    _ receipt: UnsafeMutablePointer<memslots_receipt>?,
    _ body: (MemslotTable, [Memslot], SubmitOptions) throws(SubmitError) -> Receipt
) -> Int32 {
    answer { () throws(Problem) in
        if let receipt { try SizedStructure.check(receipt) }
        let options = SubmitOptions(try SizedStructure.read(options))
        let array = try slots(list, count)
        return try with(handle) { open throws(Problem) in
            // Taken beforehand: once committed, nothing may fail any more.
            let details = receipt == nil ? nil : ReceiptDetails(submitted: array)
            var number: UInt64 = 0
            if let details { number = try LibMemslots.open(details, as: .receipt) }
            do throws(SubmitError) {
                let made = try body(open.table, array, options)
                details?.fill(made)
                receipt?.pointee.fill(made, details: number)
            } catch {
                _ = HandleTable.shared.close(number, .receipt)
                throw .submit(error)
            }
            return ok
        }
    }
}

extension SubmitOptions {
    fileprivate init(_ options: memslots_submit_options?) {
        self.init()
        guard let options else { return }
        if options.has_expected_generation {
            expectedGeneration = Generation(options.expected_generation)
        }
        if options.always_quiesce { quiesce = .always }
        if options.quiesce_deadline_milliseconds != 0 {
            quiesceDeadline = .milliseconds(Int64(options.quiesce_deadline_milliseconds))
        }
    }
}

@c @implementation
public func memslots_get(
    _ table: memslots_table, _ list: UnsafeMutablePointer<memslots_slot>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?, _ generation: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    answer { () throws(Problem) in
        try with(table) { open throws(Problem) in
            let now = open.table.snapshot()
            generation?.pointee = now.generation.rawValue
            return try fill(list, capacity, count, from: now.array.slots, memslots_slot.init)
        }
    }
}

@c @implementation
public func memslots_failure(
    _ table: memslots_table, _ list: UnsafeMutablePointer<memslots_slot>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    answer { () throws(Problem) in
        try with(table) { open throws(Problem) in
            guard let failure = open.table.failure else {
                throw .notSupported("the table has not failed: memslots_get() tells its slots")
            }
            return try fill(list, capacity, count, from: failure.installed, memslots_slot.init)
        }
    }
}

@c @implementation
public func memslots_recover(_ table: memslots_table) -> Int32 {
    answer { () throws(Problem) in
        try with(table) { open throws(Problem) in
            do throws(SubmitError) { try open.table.recover() } catch { throw .submit(error) }
            return ok
        }
    }
}

@c @implementation
public func memslots_release_vcpus(_ table: memslots_table) -> Int32 {
    answer { () throws(Problem) in
        try with(table) { open in
            open.table.releaseVCPUs()
            return ok
        }
    }
}
