internal import MemslotProtocol
internal import Memslots
internal import Synchronization

/// The place of one VM in the state. All changes of it are made under the VM's own lock.
final class KeptVM: Sendable {
    let store: StateStore
    let number: UInt64
    let simulated: SimulatedParameters

    init(_ store: StateStore, number: UInt64, simulated: SimulatedParameters) {
        self.store = store
        self.number = number
        self.simulated = simulated
    }

    var fileName: String { StateNames.record(number) }

    /// Writes `contents`, and then carries out what they say; takes them back if that fails.
    ///
    /// - Throws: the refusal of a state that can't be written, or what `body` throws.
    func write<Result>(
        _ contents: VMRecord.Contents, then body: () throws(ProtocolError) -> Result
    ) throws(ProtocolError) -> Result {
        let written = try write(contents)
        do throws(ProtocolError) {
            let result = try body()
            written.keep()
            return result
        } catch {
            throw written.takenBack(because: error)
        }
    }

    /// Writes `contents`, which are to be carried out now.
    ///
    /// - Throws: the refusal of a state that can't be written.
    func write(_ contents: VMRecord.Contents) throws(ProtocolError) -> Written {
        let bytes = contents.bytes
        guard bytes.count <= VMRecord.byteLimit else {
            throw .limit(
                "stateBytes", "the record of a VM has at most \(VMRecord.byteLimit) bytes")
        }
        do throws(StateFile.Failure) {
            let replaced = try store.file(fileName).replace(bytes)
            // Whatever was ahead is not any more.
            store.troubles.withLock { _ = $0.ahead.removeValue(forKey: fileName) }
            return Written(kept: self, contents: contents, replaced: replaced)
        } catch {
            let refusal = refuse(contents, error.errno)
            throw error.isReplaced
                ? refusal.adding(ahead(contents, error.errno)) : refusal
        }
    }

    /// The answer where the state can't be changed; the observer is told.
    func refuse(_ contents: VMRecord.Contents, _ errno: Errno) -> ProtocolError {
        store.note(.unwritten(vm: contents.vm, user: contents.user, errno: errno))
        return .unwritten(errno)
    }

    fileprivate func ahead(_ contents: VMRecord.Contents, _ errno: Errno) -> String {
        store.troubles.withLock { $0.ahead[fileName] = (contents.user, contents.vm) }
        store.note(
            .ahead(vm: contents.vm, user: contents.user, file: fileName, errno: errno))
        return "the state has it all the same, and it could not be taken back (\(errno))"
    }
}

extension KeptVM {
    /// A record that says what is to come.
    struct Written {
        fileprivate let kept: KeptVM
        fileprivate let contents: VMRecord.Contents
        fileprivate let replaced: StateFile.Replaced

        /// Lets the record before go: what this one says has come.
        func keep() { replaced.keep() }

        /// Brings the record before back, as what this one says failed.
        ///
        /// - Returns: `error`, with a word more where that can't be done.
        func takenBack(because error: ProtocolError) -> ProtocolError {
            do throws(Errno) { try replaced.takeBack() } catch let errno {
                return error.adding(kept.ahead(contents, errno))
            }
            return error
        }
    }
}

extension ProtocolError {
    /// The refusal of what could not be written down first.
    static func unwritten(_ errno: Errno) -> ProtocolError {
        let reason = "the state directory can't be written (\(errno))"
        return ProtocolError(
            ErrorData(.prepareRejected, errno: errno, reason: reason),
            message: "\(reason); nothing was changed")
    }

    fileprivate func adding(_ sentence: String) -> ProtocolError {
        var error = self
        error.message += "; \(sentence)"
        error.data.reason = (data.reason.map { $0 + "; " } ?? "") + sentence
        return error
    }
}
