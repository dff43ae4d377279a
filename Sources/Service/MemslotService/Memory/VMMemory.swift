internal import Memslots

/// The memory that slots of one VM may name.
final class VMMemory: Sendable {
    let vm: String
    /// The objects that peers created.
    let objects: Locked<MemoryObjects>
    /// The mappings of an embedding process.
    let mappings: NamedMappings
    /// Whether peers may submit addresses of this process, and receive them.
    let hasRawAddresses: Bool
    /// Whether the VM belongs to the embedding process.
    let isEmbedded: Bool
    let tokens = SlotTokens()

    /// Creates the memory of a VM, with the mappings of the embedding process if it has the VM.
    init(vm: String, hasRawAddresses: Bool = false, embedding mappings: NamedMappings? = nil) {
        (self.vm, self.hasRawAddresses) = (vm, hasRawAddresses)
        (isEmbedded, self.mappings) = (mappings != nil, mappings ?? NamedMappings())
        // Ids that the embedder's own objects don't have.
        objects = Locked(MemoryObjects(idsFrom: mappings == nil ? 0 : 1 << 31))
    }

    var names: SlotNames { SlotNames(memory: self, objects: objects.withLock { $0 }) }
}

/// Tokens for slots whose memory has no name. One is a keyed hash of the whole slot, so that it
/// identifies that slot alone, and does not reveal its address.
struct SlotTokens: Sendable {
    // Keys of this VM. `Hasher` adds a key of this process.
    private let secret = (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max))

    func token(of slot: Memslot) -> String {
        let halves = [secret.0, secret.1].map { secret in
            var hasher = Hasher()
            hasher.combine(secret)
            hasher.combine(slot)
            return UInt64(bitPattern: Int64(hasher.finalize()))
        }
        return halves.map { half in
            let digits = String(half, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
