import CYardsticks
import Memslots

/// Slot calls as C carries them out.
struct RawCalls {
    let regions: [ys_region]

    init(_ operations: [PlannedOperation]) {
        regions = operations.map { operation in
            guard let slot = operation.call.after else {
                return ys_region(
                    slot: operation.call.key.id.rawValue, flags: 0, guest: 0, size: 0, host: 0)
            }
            return RawCalls.region(slot)
        }
    }

    /// The calls that create all of `slots`.
    init(creating slots: [Memslot]) { regions = slots.map(Self.region) }

    /// The calls that delete all of `slots`.
    init(deleting slots: [Memslot]) {
        regions = slots.map {
            ys_region(slot: $0.id.rawValue, flags: 0, guest: 0, size: 0, host: 0)
        }
    }

    private static func region(_ slot: Memslot) -> ys_region {
        ys_region(
            slot: slot.id.rawValue, flags: slot.flags.rawValue,
            guest: slot.guestPhysicalAddress.rawValue, size: slot.size.rawValue,
            host: slot.userspaceAddress.rawValue)
    }

    /// Carries them out on a VM.
    ///
    /// - Returns: the nanoseconds.
    @discardableResult
    func carryOut(on vm: Int32) throws(BenchmarkError) -> Double {
        let start = ys_now()
        let status = ys_set_regions(vm, regions, regions.count)
        let span = ys_now() - start
        guard status == 0 else { throw .broken("a raw slot call failed: errno \(-status)") }
        return Double(span)
    }
}
