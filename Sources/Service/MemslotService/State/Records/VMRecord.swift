internal import MemslotProtocol
internal import Memslots

/// All that is kept of one VM: how it was created, its memory, and its last committed array.
///
/// As text it holds the two requests that make the VM anew, so that what is read back goes
/// through the same judgement as what a peer sends.
struct VMRecord {
    /// Tells the VM's files from others'.
    let number: UInt64
    let user: UInt32
    let generation: Generation
    /// The last number that a memory object was given.
    let lastMemory: UInt32
    let memories: [KeptMemory]
    let create: VMCreateParameters
    let submit: SubmitParameters

    static let format = "memslotd-state"
    static let version: UInt64 = 1

    /// What a document may have at most.
    static let byteLimit = 1 << 28

    /// Far more than can be counted to, and far from where the next would not be a number.
    static let generationLimit = Generation(1 << 62)
}

/// What is wrong with a record.
struct DamagedRecord: Error, Equatable {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}
