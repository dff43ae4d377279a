package import MemslotProtocol
package import Memslots

extension JSONWriter {
    /// Writes an object, whose members `body` writes, on a line of its own.
    package mutating func line(_ body: (inout JSONWriter) -> Void) {
        object(body)
        newLine()
    }

    /// Writes a reply on a line of its own: `{"errno":null}`, and the data that was read.
    package mutating func reply(_ reply: RawReply) { line { $0.members(of: reply) } }

    /// Writes a call on a line of its own, as ``RawCallLine/init(line:number:)`` reads it.
    package mutating func rawCall(_ line: RawCallLine) {
        self.line {
            $0.members(of: line.call)
            if let expected = line.expected { $0.members(of: expected) }
        }
    }

    /// Writes the five words that every slot call has, with the kernel's names.
    package mutating func members(of region: RawRegion) {
        member("slot", UInt64(region.slot))
        member("flags", UInt64(region.flags))
        member("guest_phys_addr", address: region.guestPhysicalAddress)
        member("memory_size", address: region.memorySize)
        member("userspace_addr", address: region.userspaceAddress)
    }

    package mutating func member(errno: String?) {
        key("errno")
        if let errno { string(errno) } else { null() }
    }

    private mutating func members(of call: RawCall) {
        switch call {
        case .setRegion(let region):
            members(of: region)
            guard let file = region.guestMemfd else { break }
            member("guest_memfd", file.wireName)
            member("guest_memfd_offset", address: region.guestMemfdOffset)
        case .getDirtyLog(let slot, let isWritable):
            member("call", RawCallName.getDirtyLog.rawValue)
            member("slot", UInt64(slot))
            if !isWritable { bitmap(nil) }
        case .clearDirtyLog(let slot, let firstPage, let pageCount, let words):
            member("call", RawCallName.clearDirtyLog.rawValue)
            member("slot", UInt64(slot))
            member("first_page", address: firstPage)
            member("num_pages", UInt64(pageCount))
            bitmap(words)
        case .setManualDirtyLogProtect(let argument):
            member("call", RawCallName.manualProtect.rawValue)
            member("argument", address: argument)
        case .guestWrite(let address):
            member("call", RawCallName.guestWrite.rawValue)
            member("guest_phys_addr", address: address)
        }
    }

    private mutating func bitmap(_ words: [UInt64]?) {
        if let words { return list("bitmap", words) { $0.address($1) } }
        key("bitmap")
        null()
    }

    private mutating func members(of reply: RawReply) {
        member(errno: reply.errno?.name)
        if let runs = reply.dirtyPages {
            list("dirty", runs) { writer, run in
                writer.beginArray()
                writer.integer(run.lowerBound)
                writer.integer(UInt64(run.count))
                writer.endArray()
            }
        }
        member("exit", reply.exit)
    }
}
