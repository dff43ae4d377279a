internal import MemslotProtocol
internal import Memslots

extension VMRecord {
    /// Reads the text of a record, whatever it is.
    ///
    /// - Throws: what is wrong with it.
    init(_ bytes: [UInt8]) throws(DamagedRecord) {
        guard let text = SealedText.open(bytes) else {
            throw DamagedRecord("the checksum is not that of the text: torn or damaged")
        }
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(parsing: bytes, in: text.indices).root
        } catch {
            throw DamagedRecord("\(error)")
        }
        guard root["format"]?.isString(Self.format) == true else {
            throw DamagedRecord("no record of a VM")
        }
        guard root["version"]?.uint64 == Self.version else {
            throw DamagedRecord(
                "of format version \(root["version"]?.rawText ?? "unknown"); "
                    + "this server reads \(Self.version)")
        }
        number = try Self.number("number", in: root)
        user = try Self.number("user", in: root)
        lastMemory = try Self.number("lastMemory", in: root)
        generation = Generation(try Self.number("generation", in: root))
        guard generation <= Self.generationLimit else {
            throw DamagedRecord("generation: \(generation) is none")
        }
        memories = try Self.memories(in: root, upTo: lastMemory)
        do throws(ProtocolError) {
            create = try VMCreateParameters(root["create"])
            submit = try SubmitParameters(root["submit"])
        } catch {
            throw DamagedRecord(error.message)
        }
        guard create.vm == submit.vm, create.backend != .auto, !create.isEphemeral,
            submit.expectedGeneration == nil
        else { throw DamagedRecord("the two requests don't belong together") }
    }

    private static func number<Number: FixedWidthInteger>(
        _ member: String, in value: JSONValue
    ) throws(DamagedRecord) -> Number {
        guard let number = value[member]?.uint64, let number = Number(exactly: number) else {
            throw DamagedRecord("\(member): missing, or no such number")
        }
        return number
    }

    private static func memories(
        in root: JSONValue, upTo last: UInt32
    ) throws(DamagedRecord) -> [KeptMemory] {
        guard let list = root["memories"], list.kind == .array else {
            throw DamagedRecord("memories: missing")
        }
        var memories: [KeptMemory] = []
        var names: Set<String> = []
        var ids: Set<UInt32> = []
        for element in list.elements {
            let memory = try memory(element)
            guard (1...max(last, 1)).contains(memory.id.rawValue), last > 0,
                ids.insert(memory.id.rawValue).inserted, names.insert(memory.name).inserted
            else { throw DamagedRecord("memories: \"\(memory.name)\" is numbered wrongly") }
            memories.append(memory)
        }
        return memories
    }

    private static func memory(_ value: JSONValue) throws(DamagedRecord) -> KeptMemory {
        guard let name = value["memory"]?.string, nameFault(name) == nil else {
            throw DamagedRecord("memories: a name is missing")
        }
        let size = try quantity("size", in: value)
        let pageSize = try quantity("pageSize", in: value)
        guard pageSize >= 4_096, pageSize.nonzeroBitCount == 1, size > 0, size % pageSize == 0,
            size <= UInt64(Int.max), let place = value["kept"]?.string,
            let place = MemoryPlace(rawValue: place)
        else { throw DamagedRecord("memories: \"\(name)\" has no size or no place") }
        return KeptMemory(
            id: MemoryObjectID(try number("id", in: value)), name: name, size: ByteCount(size),
            pageSize: ByteCount(pageSize), place: place)
    }

    private static func quantity(
        _ member: String, in value: JSONValue
    ) throws(DamagedRecord) -> UInt64 {
        guard let number = try? value[member]?.quantity.get() else {
            throw DamagedRecord("memories: \(member): missing, or no such number")
        }
        return number
    }
}
