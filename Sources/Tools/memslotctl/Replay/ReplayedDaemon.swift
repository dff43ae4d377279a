import ArgumentParser
internal import MemslotProtocol
import MemslotScenario
internal import MemslotService

/// A daemon that a scenario is played to, and the VMs that the scenario made there.
final class ReplayedDaemon: ScenarioTarget {
    private let target: SocketTarget
    // Unchecked use: a target is played to by one thread.
    nonisolated(unsafe) private var made: [String] = []

    /// Connects.
    ///
    /// - Throws: the exit status, once it was told that no daemon is there.
    init(socket: String) throws(ExitCode) {
        var options = DaemonOptions()
        options.socket = socket
        let path = try options.path()
        do throws(TargetLost) { target = try SocketTarget(path) } catch {
            throw DaemonOptions.told(error, socket: socket)
        }
    }

    func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8] { try target.exchange(line) }

    /// Remembers a VM that was made, and forgets one that is gone.
    func note(_ played: ScenarioPlayer.Played) {
        guard let vm = played.vm, played.response?["result"] != nil else { return }
        if played.method == Method.vmCreate.rawValue { made.append(vm) }
        if played.method == Method.vmDestroy.rawValue { made.removeAll { $0 == vm } }
    }

    /// Destroys the VMs that were made and are still there.
    func destroyMadeVMs() {
        for vm in made {
            var params = JSONWriter()
            params.beginObject()
            params.key("vm")
            params.string(vm)
            params.endObject()
            var line = JSONWriter()
            line.request(
                method: Method.vmDestroy.rawValue, id: RequestID(0), params: params.finish())
            // A daemon that is gone has no VMs either.
            do throws(TargetLost) { _ = try exchange(Array(line.bytes.dropLast())) } catch {
                return
            }
        }
        made = []
    }
}
