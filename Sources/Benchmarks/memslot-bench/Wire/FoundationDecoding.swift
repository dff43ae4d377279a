import Foundation

/// The submit's shape for Foundation's decoder: what the obvious way would take.
struct FoundationSubmit: Decodable {
    struct Slot: Decodable {
        let slot: UInt32
        let guestPhysicalAddress: String
        let size: String
        let userspaceAddress: String
        let flags: [String]
    }

    struct Parameters: Decodable {
        let vm: String
        let slots: [Slot]
    }

    let id: Int
    let method: String
    let params: Parameters

    /// How many slots `line` has.
    static func slotCount(_ line: Data) throws(BenchmarkError) -> Int {
        do {
            return try JSONDecoder().decode(FoundationSubmit.self, from: line).params.slots.count
        } catch {
            throw .broken("Foundation reads the benchmark's own request otherwise: \(error)")
        }
    }
}
