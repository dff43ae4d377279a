internal import Glibc
internal import MemslotKVM
internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots

extension MemslotService {
    /// The version of this package, as `server.info` and `--version` tell it.
    public static let version = "0.1.0"

    func serverInfo(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        _ = try NoParameters(request.params)
        writer.beginObject()
        writer.key("name")
        writer.string("memslots")
        writer.key("version")
        writer.string(Self.version)
        writer.key("protocol")
        writer.integer(1)
        writer.key("pid")
        writer.integer(Int(getpid()))
        writer.key("backends")
        backends(into: &writer)
        writer.key("limits")
        limits.write(into: &writer)
        if let state {
            writer.key("state")
            writer.state(state, for: peer)
        }
        writer.endObject()
    }

    private func backends(into writer: inout JSONWriter) {
        writer.beginObject()
        writer.key("simulated")
        writer.beginObject()
        writer.key("available")
        writer.bool(true)
        writer.key("capabilities")
        writer.capabilities(SimulatedBackend().capabilities)
        writer.endObject()
        writer.key("kvm")
        writer.beginObject()
        do throws(KVMError) {
            let host = try self.backends.host()
            writer.key("available")
            writer.bool(true)
            writer.key("capabilities")
            writer.capabilities(host.capabilities)
        } catch {
            writer.key("available")
            writer.bool(false)
            writer.key("reason")
            writer.string(error.description)
        }
        writer.endObject()
        writer.endObject()
    }
}

extension ServiceLimits {
    fileprivate func write(into writer: inout JSONWriter) {
        writer.beginObject()
        for limit in all {
            writer.key(limit.name)
            writer.integer(limit.value)
        }
        writer.endObject()
    }
}
