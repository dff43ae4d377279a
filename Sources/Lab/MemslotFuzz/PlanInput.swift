import MemslotProtocol
import MemslotScenario
import Memslots

/// The arrays of a scenario as steps of ``PlanFuzz``, their addresses pressed into its universe.
enum PlanInput {
    /// The steps; none where the scenario submits nothing.
    static func bytes(ofScenario scenario: [UInt8]) -> [UInt8] {
        var reader = ScenarioReader(LineReader(bytes: scenario))
        var arrays: [[SlotParameters]] = []
        while arrays.count < 6, let step = try? reader.next() {
            guard case .request(let request) = step.content,
                request.method == Method.memslotsSubmit.rawValue,
                let list = request.params?["slots"]
            else { continue }
            var writer = JSONWriter()
            writer.raw(list.rawBytes)
            if let file = try? ArrayFile(writer.bytes) {
                arrays.append(Array(file.slots.prefix(40)))
            }
        }
        if arrays.isEmpty { return [] }
        let borders = arrays.joined().flatMap {
            [
                $0.guestPhysicalAddress.rawValue,
                $0.guestPhysicalAddress.rawValue &+ $0.size.rawValue,
            ]
        }
        let order = Array(Set(borders)).sorted()
        func page(_ address: UInt64) -> UInt8 {
            UInt8(truncatingIfNeeded: (order.firstIndex(of: address) ?? 0) % 64)
        }
        // 32 slots, two address spaces, guest_memfd; one more of the automatic dirty logs.
        var input: [UInt8] = [31 | 32 | 64, 0]
        var known = 0
        for array in arrays {
            // The draft becomes the array: all that was there goes first.
            for _ in 0..<known { input += [5, 0] }
            for slot in array {
                let start = slot.guestPhysicalAddress.rawValue
                let first = page(start)
                let end = page(start &+ slot.size.rawValue)
                let host = slot.userspaceAddress?.rawValue ?? slot.memoryOffset?.rawValue ?? 0
                input += [
                    0,
                    UInt8(truncatingIfNeeded: (slot.slot ?? 31) % 32 | slot.addressSpace % 2 << 5),
                    first, end > first ? end - first - 1 : 0,
                    UInt8(truncatingIfNeeded: host >> 12 % 32),
                    UInt8(truncatingIfNeeded: slot.flags.rawValue & 7)
                        | (slot.memory == nil ? 0 : 8),
                ]
            }
            known = array.count
            input.append(13)
        }
        return input
    }
}
