internal import MemslotProtocol
internal import Memslots

/// Examines the records of a daemon that was stopped, and repairs those that can be.
package enum StateCheck {
    /// What was found in a file; a loss if it is damaged and no other file has its VM.
    package typealias Finding = (file: String, text: String, isLoss: Bool)

    /// Reads every record of the directory, then those that were set aside.
    ///
    /// - Parameter repairs: whether what the checksum proves is written as the VM's record. The
    ///   damaged file stays beside it.
    /// - Throws: if a server uses the directory, or it can't be read or written.
    package static func run(at path: String, repairs: Bool) throws(StateError) -> [Finding] {
        let directory = try StateDirectory(path, isStopped: true)
        func summary(_ record: VMRecord) -> String {
            "VM \"\(record.create.vm)\" of user \(record.user), generation \(record.generation)"
        }
        do throws(Errno) {
            let names = try directory.names().sorted()
            let records = names.filter { StateNames.parse($0)?.kind == .record }
            let aside = names.filter { StateNames.parse($0)?.kind == .damaged }
            var valid: Set<UInt64> = []
            return try (records + aside).map { name throws(Errno) in
                let number = StateNames.parse(name)?.vm ?? 0
                let file = StateNames.record(number)
                var (text, restored) = ("valid", [UInt8]())
                do throws(DamagedRecord) {
                    let bytes = try directory.record(name)
                    restored = SealedText.restored(bytes) ?? []
                    let record = try VMRecord(bytes, number: number)
                    if name == file {
                        valid.insert(number)
                        return (name, "valid: \(summary(record))", false)
                    }
                } catch { text = "damaged: \(error.reason)" }
                if valid.contains(number) {
                    return (name, text + "; \(file) is valid, so you may remove this", false)
                }
                guard let record = try? VMRecord(restored, number: number) else {
                    return (name, text + "; it can't be repaired", true)
                }
                guard repairs else {
                    return (name, text + "; repair restores \(summary(record))", true)
                }
                if records.contains(file) {
                    text += "; kept as \(try directory.setAside(file, of: number, names))"
                }
                let state = StateFile(directory: directory, name: file, isSynced: true)
                try converting(
                    { (failure: StateFile.Failure) in failure.errno }, state.replace(restored)
                )
                .removePrevious()
                valid.insert(number)
                return (name, text + "; \(file) is now \(summary(record))", false)
            }
        } catch { throw StateError("\(path): can't be read and written: \(error)") }
    }
}
