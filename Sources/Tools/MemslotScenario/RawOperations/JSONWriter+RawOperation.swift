package import MemslotProtocol
import Memslots

extension JSONWriter {
    /// Writes `{"errno":null}` or `{"errno":"EEXIST"}` on a line of its own.
    package mutating func answer(_ answer: RawAnswer) {
        beginObject()
        members(of: answer)
        endObject()
        newLine()
    }

    /// Writes a raw operation on a line of its own, as ``RawOperation/init(line:number:)`` reads it.
    package mutating func rawOperation(_ operation: RawOperation) {
        let region = operation.region
        beginObject()
        key("slot")
        integer(UInt64(region.slot))
        key("flags")
        integer(UInt64(region.flags))
        key("guest_phys_addr")
        address(region.guestPhysicalAddress)
        key("memory_size")
        address(region.memorySize)
        key("userspace_addr")
        address(region.userspaceAddress)
        if let file = region.guestMemfd {
            key("guest_memfd")
            string(file.wireName)
            key("guest_memfd_offset")
            address(region.guestMemfdOffset)
        }
        if let expected = operation.expected { members(of: expected) }
        endObject()
        newLine()
    }

    private mutating func members(of answer: RawAnswer) {
        key("errno")
        if let errno = answer.errno { string(errno.name) } else { null() }
    }
}
