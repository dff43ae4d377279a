internal import MemslotProtocol
internal import Memslots

/// The record of one VM: how it was created, its memory, and its last committed array.
///
/// Its text contains the two requests that create the VM again, so that a record is validated like
/// a peer's requests.
struct VMRecord {
    /// The number in the names of the VM's files.
    let number: UInt64
    let user: UInt32
    let generation: Generation
    /// The last id that a memory object got.
    let lastMemory: UInt32
    let memories: [StoredMemory]
    let create: VMCreateParameters
    let submit: SubmitParameters

    static let format = "memslotd-state"
    static let version: UInt64 = 1

    static let byteLimit = 1 << 28

    /// A generation that no VM reaches, and that is far from overflow.
    static let generationLimit = Generation(1 << 62)
}

struct StoredMemory: Sendable, Equatable {
    let id: MemoryObjectID
    let name: String
    let size, pageSize: ByteCount
    let place: MemoryPlace
}

/// Where a memory object remains when the server ends.
enum MemoryPlace: String, Sendable, CaseIterable {
    /// A file in the state directory.
    case file
    /// A descriptor in systemd's descriptor store.
    case descriptor
    /// Nowhere: a guest_memfd ends with its VM, and an empty one of the same size replaces it.
    case guestMemfd = "guest-memfd"
    /// Nowhere, as another guest_memfd; the host's memory is as empty.
    case sharedGuestMemfd = "shared-guest-memfd"
}

struct DamagedRecord: Error, Equatable {
    /// Half a sentence that names the fault.
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

extension VMRecord {
    /// Decodes the text of the record of the VM `number`. Throws the first fault. Any bytes are
    /// allowed.
    init(_ bytes: [UInt8], number expected: UInt64) throws(DamagedRecord) {
        guard let text = SealedText.open(bytes) else {
            throw DamagedRecord("the checksum does not match the text: torn or damaged")
        }
        let root = try converting(
            { (error: JSONError) in DamagedRecord("\(error)") },
            JSONDocument(parsing: bytes, in: text.indices).root)
        guard root["format"]?.isString(Self.format) == true else {
            throw DamagedRecord("it is not the record of a VM")
        }
        guard root["version"]?.uint64 == Self.version else {
            throw DamagedRecord(
                "its format version is \(root["version"]?.rawText ?? "unknown"); "
                    + "this server reads \(Self.version)")
        }
        number = try Self.number("number", in: root)
        guard number == expected else { throw DamagedRecord("it is the record of VM \(number)") }
        user = try Self.number("user", in: root)
        lastMemory = try Self.number("lastMemory", in: root)
        generation = Generation(try Self.number("generation", in: root))
        guard generation <= Self.generationLimit else {
            throw DamagedRecord("generation: \(generation) is too large")
        }
        memories = try Self.memories(in: root, upTo: lastMemory)
        do throws(ProtocolError) {
            create = try VMCreateParameters(root["create"])
            submit = try SubmitParameters(root["submit"])
        } catch { throw DamagedRecord(error.message) }
        guard Name(create.vm) == Name(submit.vm), create.backend != .auto, !create.isEphemeral,
            submit.expectedGeneration == nil
        else { throw DamagedRecord("the two requests don't belong together") }
    }

    private static func number<Number: FixedWidthInteger>(
        _ member: String, in value: JSONValue
    ) throws(DamagedRecord) -> Number {
        guard let number = value[member]?.uint64, let number = Number(exactly: number) else {
            throw DamagedRecord("\(member): missing, or not a valid number")
        }
        return number
    }

    private static func memories(
        in root: JSONValue, upTo last: UInt32
    ) throws(DamagedRecord) -> [StoredMemory] {
        guard let list = root["memories"], list.kind == .array else {
            throw DamagedRecord("memories: missing")
        }
        var memories: [StoredMemory] = []
        var names: Set<Name> = []
        var ids: Set<UInt32> = []
        for element in list.elements {
            let memory = try memory(element)
            guard (1...max(last, 1)).contains(memory.id.rawValue), last > 0,
                ids.insert(memory.id.rawValue).inserted, names.insert(Name(memory.name)).inserted
            else {
                throw DamagedRecord(
                    "memories: \"\(memory.name)\" has the name or id of another one")
            }
            memories.append(memory)
        }
        return memories
    }

    private static func memory(_ value: JSONValue) throws(DamagedRecord) -> StoredMemory {
        guard let name = value["memory"]?.string, nameFault(name) == nil else {
            throw DamagedRecord("memories: a name is missing or invalid")
        }
        let size = try quantity("size", in: value)
        let pageSize = try quantity("pageSize", in: value)
        guard pageSize >= 4_096, pageSize.nonzeroBitCount == 1, size > 0, size % pageSize == 0,
            size <= UInt64(Int.max), let place = value["kept"]?.string,
            let place = MemoryPlace(rawValue: place)
        else { throw DamagedRecord("memories: \"\(name)\" has no valid size or place") }
        return StoredMemory(
            id: MemoryObjectID(try number("id", in: value)), name: name, size: ByteCount(size),
            pageSize: ByteCount(pageSize), place: place)
    }

    private static func quantity(
        _ member: String, in value: JSONValue
    ) throws(DamagedRecord) -> UInt64 {
        guard let number = try? value[member]?.quantity.get() else {
            throw DamagedRecord("memories: \(member): missing, or not a valid number")
        }
        return number
    }
}
