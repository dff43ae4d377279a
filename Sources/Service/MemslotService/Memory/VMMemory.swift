internal import MemslotProtocol
internal import Memslots

/// The memory that slots of one VM may name, and by what right they may.
final class VMMemory: Sendable {
    /// The VM's name.
    let vm: String
    /// The objects made over the wire.
    let objects: Locked<MemoryObjects>
    /// The mappings of an embedding process.
    let mappings: NamedMappings
    /// Whether addresses of this process are taken from peers, and told to them.
    let hasRawAddresses: Bool
    /// Whether the VM is the embedding process's own.
    let isEmbedded: Bool
    private let tokens = SlotTokens()

    init(vm: String, hasRawAddresses: Bool) {
        self.vm = vm
        self.hasRawAddresses = hasRawAddresses
        isEmbedded = false
        mappings = NamedMappings()
        objects = Locked(MemoryObjects())
    }

    /// Of a VM that the embedding process made.
    init(embedding vm: String, _ mappings: NamedMappings) {
        self.vm = vm
        hasRawAddresses = false
        isEmbedded = true
        self.mappings = mappings
        // Numbers that the embedder's own objects don't have.
        objects = Locked(MemoryObjects(idsFrom: 1 << 31))
    }

    /// The names as they are now.
    var names: SlotNames {
        SlotNames(
            vm: vm, objects: objects.withLock { $0 }, mappings: mappings,
            hasRawAddresses: hasRawAddresses, isEmbedded: isEmbedded, tokens: tokens)
    }
}
