import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import Memslots

struct OfflineChange {
    let before, after: [Memslot]
    let names: [MemoryObjectID: String]
    let receipt: Receipt
    let rules: UsedRules

    /// Plans the change between the arrays of two files; prints every fault in them.
    init(
        before beforeName: String, after afterName: String, _ options: OfflineRules, flags: String?,
        quiesce: SubmitOptions.Quiesce = .auto
    ) throws {
        let beforeFile = try ArrayFile.read(beforeName)
        let afterFile = try ArrayFile.read(afterName)
        let present = PicturedArray(beforeFile.slots)
        let wanted = PicturedArray(afterFile.slots, naming: present)
        rules = try options.rules(for: [afterFile, beforeFile], flags: flags)
        let table = try beforeFile.checked(rules) { table throws(SubmitError) in
            // Installed first, so that omitted ids are picked and dirty logs exist.
            _ = try table.submit(present.slots, options: SubmitOptions(), prior: present.faults)
            return table
        }
        receipt = try afterFile.checked(rules) { _ throws(SubmitError) in
            try table.plan(
                wanted.slots, options: SubmitOptions(quiesce: quiesce), prior: wanted.faults)
        }
        before = table.snapshot().array.slots
        after = receipt.slots
        names = wanted.names
    }

    var picture: ChangePicture {
        ChangePicture(before: before, after: after, marks: marks, names: names)
    }

    private var marks: [SlotKey: ChangeMark] {
        var marks: [SlotKey: ChangeMark] = [:]
        let diff = receipt.diff
        for slot in diff.removed { marks[slot.assignedKey] = .removed }
        for slot in diff.added {
            marks[slot.assignedKey] = marks[slot.assignedKey] == nil ? .added : .replaced
        }
        for pair in diff.moved { marks[pair.after.assignedKey] = .moved }
        for pair in diff.reflagged { marks[pair.after.assignedKey] = .reflagged }
        return marks
    }
}

extension ArrayFile {
    /// Throws the status for an array that breaks a rule, after printing every fault.
    func check(_ array: PicturedArray, _ used: UsedRules) throws {
        _ = try checked(used) { table throws(SubmitError) in
            try table.plan(array.slots, options: SubmitOptions(), prior: array.faults)
        }
    }

    /// Returns what `body` makes of a table without slots, or throws as ``check(_:_:)``.
    fileprivate func checked<R>(
        _ used: UsedRules, _ body: (MemslotTable) throws(SubmitError) -> R
    ) throws -> R {
        let table = try MemslotTable(backend: OfflineBackend(used.limits))
        do throws(SubmitError) { return try body(table) } catch { throw failure(error, used) }
    }

    /// Prints each fault of the array with its line, and the rules.
    private func failure(_ error: SubmitError, _ rules: UsedRules) -> ExitCode {
        if case .invalid(let array) = error {
            for fault in array.violations {
                let line = fault.index.map { ":\(lines[$0])" } ?? ""
                Terminal.complain("\(name)\(line): \(fault.message)")
            }
            let more = array.count - array.violations.count
            if more > 0 { Terminal.complain("\(name): and \(more) more faults") }
        } else {
            Terminal.complain("\(name): \(error.message)")
        }
        Terminal.complain(rules.description)
        return .unusable
    }
}

/// An array without a VM: memory objects have placeholder numbers and addresses.
struct PicturedArray {
    private(set) var slots: [Memslot] = []
    private(set) var names: [MemoryObjectID: String] = [:]
    /// The faults of the slots' backing, ascending by index.
    private(set) var faults: [Violation] = []
    private var numbers: [Name: MemoryObjectID] = [:]

    /// The distance between the placeholder addresses of two memory objects.
    private static let spacing: UInt64 = 1 << 32
    private static let firstBase: UInt64 = 1 << 40

    init(result: JSONValue) {
        // A service's result can be decoded; anything else draws nothing.
        self.init((try? ArrayFile(Array(result.rawBytes)))?.slots ?? [])
    }

    /// The slots of a file; equal memory names have the same number as in `other`.
    init(_ parameters: [SlotParameters], naming other: PicturedArray? = nil) {
        names = other?.names ?? [:]
        numbers = other?.numbers ?? [:]
        for (index, slot) in parameters.enumerated() {
            let offset = slot.memoryOffset ?? .zero
            let object =
                slot.memory.map { number(of: $0) } ?? slot.opaque.map { number(hidden: $0) }
            let memory = object.map { MemoryReference(object: $0, offset: offset) }
            let pictured = Memslot(
                // The largest number means "omitted"; the next lower one is out of range too.
                id: slot.slot.map { SlotID(UInt32(min($0, UInt64(UInt32.max) - 1))) },
                addressSpace: AddressSpaceID(UInt32(clamping: slot.addressSpace)),
                guestPhysicalAddress: slot.guestPhysicalAddress, size: slot.size,
                userspaceAddress: slot.userspaceAddress ?? placeholder(for: memory),
                flags: slot.flags, memory: memory,
                guestMemfd: slot.guestMemfd.map {
                    GuestMemfdBinding(
                        descriptor: Int32(number(of: $0).rawValue),
                        offset: slot.guestMemfdOffset ?? .zero)
                })
            if (slot.userspaceAddress == nil) == (slot.memory == nil) {
                let (kind, detail): (ViolationKind, String) =
                    slot.memory == nil
                    ? (.backingMissing, "give userspaceAddress, or memory")
                    : (.backingAmbiguous, "userspaceAddress and memory are both given")
                faults.append(Violation(kind, of: pictured, at: index, member: nil, detail: detail))
            }
            slots.append(pictured)
        }
    }

    var map: MapPicture { MapPicture(slots: slots, names: names) }

    private mutating func number(of name: String) -> MemoryObjectID {
        if let number = numbers[Name(name)] { return number }
        let number = MemoryObjectID(UInt32(numbers.count + 1))
        numbers[Name(name)] = number
        names[number] = name
        return number
    }

    /// Memory that a service identifies without its location.
    private mutating func number(hidden token: String) -> MemoryObjectID {
        // No memory name starts with this character.
        let number = number(of: "\0" + token)
        names[number] = ""
        return number
    }

    private func placeholder(for memory: MemoryReference?) -> UserspaceAddress {
        guard let memory else { return UserspaceAddress(Self.firstBase) }
        let base = Self.firstBase &+ UInt64(memory.object.rawValue) &* Self.spacing
        return UserspaceAddress(base &+ memory.offset.rawValue)
    }
}
