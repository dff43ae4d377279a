package import MemslotProtocol
import Memslots

extension JSONWriter {
    /// Writes a reply on a line of its own: `{"errno":null}`, and what was read.
    package mutating func reply(_ reply: RawReply) {
        beginObject()
        members(of: reply)
        endObject()
        newLine()
    }

    /// Writes a call on a line of its own, as ``RawCallLine/init(line:number:)`` reads it.
    package mutating func rawCall(_ line: RawCallLine) {
        if case .setRegion(let region) = line.call {
            return rawOperation(RawOperation(region, expected: line.expected?.answer))
        }
        beginObject()
        key("call")
        switch line.call {
        case .setRegion: break
        case .getDirtyLog(let slot, let isWritable):
            string(RawCallName.getDirtyLog.rawValue)
            key("slot")
            integer(UInt64(slot))
            if !isWritable {
                key("bitmap")
                null()
            }
        case .clearDirtyLog(let slot, let firstPage, let pageCount, let words):
            string(RawCallName.clearDirtyLog.rawValue)
            key("slot")
            integer(UInt64(slot))
            key("first_page")
            address(firstPage)
            key("num_pages")
            integer(UInt64(pageCount))
            key("bitmap")
            if let words {
                beginArray()
                for word in words { address(word) }
                endArray()
            } else {
                null()
            }
        case .setManualDirtyLogProtect(let argument):
            string(RawCallName.manualProtect.rawValue)
            key("argument")
            address(argument)
        case .guestWrite(let address):
            string(RawCallName.guestWrite.rawValue)
            key("guest_phys_addr")
            self.address(address)
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
        if let exit = reply.exit {
            key("exit")
            string(exit)
        }
    }
}

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
