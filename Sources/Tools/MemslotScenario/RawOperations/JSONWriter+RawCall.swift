package import MemslotProtocol
import Memslots

extension JSONWriter {
    /// Writes `{"errno":null}` or `{"errno":"EEXIST"}` on a line of its own.
    package mutating func answer(_ answer: RawAnswer) { reply(RawReply(answer)) }

    /// Writes a reply on a line of its own: `{"errno":null}`, and the data that was read.
    package mutating func reply(_ reply: RawReply) {
        beginObject()
        members(of: reply)
        endObject()
        newLine()
    }

    /// Writes a raw operation on a line of its own, in the form that
    /// ``RawOperation/init(line:number:)`` reads.
    package mutating func rawOperation(_ operation: RawOperation) {
        let region = operation.region
        beginObject()
        member("slot", UInt64(region.slot))
        member("flags", UInt64(region.flags))
        member("guest_phys_addr", address: region.guestPhysicalAddress)
        member("memory_size", address: region.memorySize)
        member("userspace_addr", address: region.userspaceAddress)
        if let file = region.guestMemfd {
            member("guest_memfd", file.wireName)
            member("guest_memfd_offset", address: region.guestMemfdOffset)
        }
        if let expected = operation.expected { members(of: RawReply(expected)) }
        endObject()
        newLine()
    }

    /// Writes a call on a line of its own, in the form that ``RawCallLine/init(line:number:)``
    /// reads.
    package mutating func rawCall(_ line: RawCallLine) {
        if case .setRegion(let region) = line.call {
            return rawOperation(RawOperation(region, expected: line.expected?.answer))
        }
        beginObject()
        switch line.call {
        case .setRegion: break
        case .getDirtyLog(let slot, let isWritable):
            member("call", RawCallName.getDirtyLog.rawValue)
            member("slot", UInt64(slot))
            if !isWritable {
                key("bitmap")
                null()
            }
        case .clearDirtyLog(let slot, let firstPage, let pageCount, let words):
            member("call", RawCallName.clearDirtyLog.rawValue)
            member("slot", UInt64(slot))
            member("first_page", address: firstPage)
            member("num_pages", UInt64(pageCount))
            key("bitmap")
            if let words {
                beginArray()
                for word in words { address(word) }
                endArray()
            } else {
                null()
            }
        case .setManualDirtyLogProtect(let argument):
            member("call", RawCallName.manualProtect.rawValue)
            member("argument", address: argument)
        case .guestWrite(let address):
            member("call", RawCallName.guestWrite.rawValue)
            member("guest_phys_addr", address: address)
        }
        if let expected = line.expected { members(of: expected) }
        endObject()
        newLine()
    }

    private mutating func members(of reply: RawReply) {
        key("errno")
        if let errno = reply.answer.errno { string(errno.name) } else { null() }
        if let runs = reply.dirtyPages {
            key("dirty")
            beginArray()
            for run in runs {
                beginArray()
                integer(run.lowerBound)
                integer(UInt64(run.count))
                endArray()
            }
            endArray()
        }
        member("exit", reply.exit)
    }
}
