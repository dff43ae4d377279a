import CMemslots
import Memslots

/// Structures that begin with their size, so that later versions can be longer. As for the
/// kernel's `copy_struct_from_user`, what this version does not know must be zero.
enum SizedStructure {
    private static let maxSize = 4_096

    /// Reads a structure; `nil` for `NULL`. A caller's structure may end before `first`, the member
    /// that was added first after it was published, and has zero there then.
    static func read<T>(
        _ pointer: UnsafePointer<T>?, before first: PartialKeyPath<T>? = nil
    ) throws(Problem) -> T? {
        guard let pointer else { return nil }
        let raw = UnsafeRawPointer(pointer)
        let least = first.flatMap(MemoryLayout<T>.offset(of:)) ?? MemoryLayout<T>.size
        let size = try size(at: raw, atLeast: least)
        for offset in MemoryLayout<T>.size..<max(size, MemoryLayout<T>.size)
        where raw.load(fromByteOffset: offset, as: UInt8.self) != 0 {
            throw .badArgument(
                "the structure sets a member that this version does not know; leave it zero")
        }
        return withUnsafeTemporaryAllocation(of: T.self, capacity: 1) { value in
            let bytes = UnsafeMutableRawBufferPointer(value)
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            bytes.copyMemory(from: .init(start: raw, count: min(size, bytes.count)))
            return value[0]
        }
    }

    /// Checks the size of a structure that the function fills.
    static func check<T>(_ pointer: UnsafeMutablePointer<T>) throws(Problem) {
        _ = try size(at: UnsafeRawPointer(pointer), atLeast: MemoryLayout<T>.size)
    }

    private static func size(
        at pointer: UnsafeRawPointer, atLeast least: Int
    ) throws(Problem) -> Int {
        let size = pointer.loadUnaligned(as: UInt.self)
        guard size >= UInt(least), size <= UInt(maxSize) else {
            throw .badArgument("struct_size is not the size of the structure; use MEMSLOTS_INIT")
        }
        return Int(size)
    }
}

/// Fills in the elements that fit, and stores the number of all. Throws `tooSmall` for more.
func fill<Source: Collection, Element>(
    _ list: UnsafeMutablePointer<Element>?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?,
    from source: Source, _ convert: (Source.Element) -> Element
) throws(Problem) {
    guard let count else { throw .badArgument("count is NULL") }
    guard list != nil || capacity == 0 else {
        throw .badArgument("the list is NULL, but the capacity is not 0")
    }
    guard capacity >= 0 else { throw .badArgument("the capacity is larger than any list") }
    count.pointee = source.count
    if let list {
        for (place, element) in zip(0..<capacity, source) {
            (list + place).initialize(to: convert(element))
        }
    }
    guard source.count <= capacity else { throw .tooSmall(capacity: capacity, count: source.count) }
}

/// A C string as a string. Invalid UTF-8 is replaced.
func string(_ pointer: UnsafePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }

/// Copies `text` into a fixed array of characters, truncated at a character boundary.
func copy<Characters>(_ text: String, into characters: inout Characters) {
    withUnsafeMutableBytes(of: &characters) { bytes in
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        let encoded = Array(text.utf8)
        var end = min(encoded.count, bytes.count - 1)
        while end < encoded.count, UTF8.isContinuation(encoded[end]) { end -= 1 }
        bytes.copyBytes(from: encoded[..<end])
    }
}

/// Functions and a context of the caller, which are released when nothing uses them any more.
// Sendable: the pointers are constant. The header states which threads call the functions; the
// caller makes the memory behind the context safe for them.
final class Borrowed<Value>: @unchecked Sendable {
    let value: Value
    private let release: () -> Void

    init(_ value: Value, release: @escaping () -> Void = {}) {
        (self.value, self.release) = (value, release)
    }

    deinit { release() }
}

extension Memslot {
    /// Converts a slot from C. The submit validates it with its array.
    init(_ slot: memslots_slot) {
        let flags = MemslotFlags(rawValue: slot.flags)
        self.init(
            id: SlotID(slot.slot), addressSpace: AddressSpaceID(slot.address_space),
            guestPhysicalAddress: GuestPhysicalAddress(slot.guest_physical_address),
            size: ByteCount(slot.size), userspaceAddress: UserspaceAddress(slot.userspace_address),
            flags: flags,
            memory: MemoryReference(
                object: MemoryObjectID(slot.memory_object), offset: ByteCount(slot.memory_offset)),
            guestMemfd: flags.contains(.guestMemfd)
                ? GuestMemfdBinding(
                    descriptor: slot.guest_memfd, offset: ByteCount(slot.guest_memfd_offset))
                : nil)
    }
}

extension memslots_slot {
    /// Converts `slot`; a slot of size 0 if it is `nil`.
    init(_ slot: Memslot?) {
        guard let slot else {
            self.init()
            return
        }
        self.init(
            slot: slot.assignedID.rawValue, address_space: slot.addressSpace.rawValue,
            guest_physical_address: slot.guestPhysicalAddress.rawValue, size: slot.size.rawValue,
            userspace_address: slot.userspaceAddress.rawValue, flags: slot.flags.rawValue,
            memory_object: slot.memory?.object.rawValue ?? 0,
            memory_offset: slot.memory?.offset.rawValue ?? 0,
            guest_memfd_offset: slot.guestMemfd?.offset.rawValue ?? 0,
            guest_memfd: slot.guestMemfd?.descriptor ?? -1, reserved: 0)
    }
}

func slots(_ list: UnsafePointer<memslots_slot>?, _ count: Int) throws(Problem) -> [Memslot] {
    if count == 0 { return [] }
    guard let list else { throw .badArgument("slots is NULL, but the count is not 0") }
    guard count > 0, count <= 1 << 24 else { throw .badArgument("no VM can have that many slots") }
    return UnsafeBufferPointer(start: list, count: count).map(Memslot.init)
}

extension memslots_operation {
    init(_ operation: PlannedOperation) {
        self.init()
        switch operation.call {
        case .create: call = UInt32(MEMSLOTS_CREATE)
        case .delete: call = UInt32(MEMSLOTS_DELETE)
        case .move: call = UInt32(MEMSLOTS_MOVE)
        case .reflag: call = UInt32(MEMSLOTS_REFLAG)
        }
        before = memslots_slot(operation.call.before)
        after = memslots_slot(operation.call.after)
    }
}

extension memslots_change {
    init(_ change: MemslotChange) {
        let (kind, before, after): (Int, Memslot?, Memslot?) =
            switch change {
            case .added(let slot): (MEMSLOTS_ADDED, nil, slot)
            case .removed(let slot): (MEMSLOTS_REMOVED, slot, nil)
            case .moved(let from, let to): (MEMSLOTS_MOVED, from, to)
            case .reflagged(let from, let to): (MEMSLOTS_REFLAGGED, from, to)
            }
        self.init()
        self.kind = UInt32(kind)
        (self.before, self.after) = (memslots_slot(before), memslots_slot(after))
    }
}
