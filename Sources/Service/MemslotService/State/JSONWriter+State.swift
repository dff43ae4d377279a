internal import MemslotProtocol
internal import Memslots
internal import Synchronization

extension JSONWriter {
    /// Writes what `server.info` tells of the state: where memory is kept, and what is wrong.
    ///
    /// VMs by name are told to their own user only; of damaged records nobody knows the user.
    mutating func state(_ state: StateStore, for peer: Peer) {
        let troubles = state.troubles.withLock { $0 }
        beginObject()
        key("memory")
        string(state.descriptors == nil ? "files" : "descriptors")
        key("unrestored")
        beginArray()
        let unrestored = troubles.unrestored[peer.user] ?? [:]
        for (vm, trouble) in unrestored.sorted(by: { $0.key < $1.key }) {
            beginObject()
            key("vm")
            string(vm)
            key("file")
            string(StateNames.record(trouble.record))
            key("reason")
            string(trouble.reason)
            endObject()
        }
        endArray()
        key("damaged")
        beginArray()
        for (file, reason) in troubles.damaged {
            beginObject()
            key("file")
            string(file)
            key("reason")
            string(reason)
            endObject()
        }
        endArray()
        key("ahead")
        beginArray()
        for (file, whose) in troubles.ahead.sorted(by: { $0.key < $1.key })
        where whose.user == peer.user {
            beginObject()
            key("vm")
            string(whose.vm)
            key("file")
            string(file)
            endObject()
        }
        endArray()
        endObject()
    }
}
