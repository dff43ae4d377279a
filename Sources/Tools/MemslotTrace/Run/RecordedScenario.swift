import MemslotProtocol
import MemslotScenario
import Memslots

extension RunRecording {
    /// The raw calls and their results, in the format of `memslot-lab conform`.
    ///
    /// - Parameter machine: the VM; conform has one VM per run.
    package func rawLines(of machine: Int) -> [UInt8] {
        var writer = JSONWriter()
        for call in asked where call.machine == machine {
            writer.rawCall(
                RawCallLine(.setRegion(call.words), expected: RawReply(call.errno)))
        }
        return writer.bytes
    }
}
