internal import Glibc
internal import MemslotProtocol
internal import Memslots

/// Examines the records of a daemon that was stopped, and repairs those that can be.
package enum StateCheck {
    /// What was found in a file; a loss if it is damaged and no other file has its VM.
    package typealias Finding = (file: String, text: String, isLoss: Bool)

    /// Reads every record of the directory, then those that were set aside. With `repairs`, what
    /// the checksum proves is written as the VM's record; the damaged file stays beside it. Throws
    /// if a server uses the directory, or it can't be read or written.
    package static func run(at path: String, repairs: Bool) throws(StateError) -> [Finding] {
        let directory = try StateDirectory(path, isStopped: true)
        var named: Set<String> = []
        /// Describes a record, and keeps which memory it names.
        func accept(_ record: VMRecord) -> String {
            named.formUnion(
                record.memories.map { StateNames.memory($0.id.rawValue, of: record.number) })
            return
                "VM \"\(record.create.vm)\" of user \(record.user), generation \(record.generation)"
        }
        do throws(Errno) {
            let names = try directory.names().sorted()
            let records = names.filter { StateNames.parse($0)?.kind == .record }
            let aside = names.filter { StateNames.parse($0)?.kind == .damaged }
            var valid: Set<UInt64> = []
            var findings = try (records + aside).map { name throws(Errno) -> Finding in
                let number = StateNames.parse(name)?.vm ?? 0
                let file = StateNames.record(number)
                var (text, restored) = ("valid", [UInt8]())
                do throws(DamagedRecord) {
                    let bytes = try directory.record(name)
                    restored = SealedText.restored(bytes) ?? []
                    let record = try VMRecord(bytes, number: number)
                    if name == file {
                        valid.insert(number)
                        let fault = directory.memoryFault(of: record)
                        let text = "valid: \(accept(record))"
                        return (name, text + (fault.map { "; \($0)" } ?? ""), fault != nil)
                    }
                } catch { text = "damaged: \(error.reason)" }
                if valid.contains(number) {
                    return (name, text + "; \(file) is valid, so you may remove this", false)
                }
                guard let record = try? VMRecord(restored, number: number) else {
                    return (name, text + "; it can't be repaired", true)
                }
                guard repairs else {
                    return (name, text + "; repair restores \(accept(record))", true)
                }
                if records.contains(file) {
                    text += "; kept as \(try directory.setAside(file, of: number, names))"
                }
                let state = StateFile(directory: directory, name: file, isSynced: true)
                try converting(
                    { (failure: StateFile.Failure) in failure.errno }, state.replace(restored)
                ).removePrevious()
                valid.insert(number)
                return (name, text + "; \(file) is now \(accept(record))", false)
            }
            let ended = names.filter { StateNames.parse($0)?.kind == .removed }
            for name in names where !named.contains(name) {
                guard case (let vm, .memory)? = StateNames.parse(name) else { continue }
                // A record that is set aside may name it.
                let isKept = names.contains { name in
                    StateNames.parse(name).map { $0.vm == vm && $0.kind == .damaged } ?? false
                }
                let isUnfinished =
                    valid.contains(vm) && !isKept || ended.contains(StateNames.removed(vm))
                findings.append(
                    isUnfinished
                        ? (name, "unfinished: the next start removes it", false)
                        : (
                            name,
                            "guest memory without a valid record: restore "
                                + "\(StateNames.record(vm)), or remove this", true
                        ))
            }
            return findings
        } catch { throw StateError("\(path): can't be read and written: \(error)") }
    }
}

extension StateDirectory {
    /// Why the memory of a valid record can't be restored from files; `nil` if it can. A descriptor
    /// store can't be examined.
    fileprivate func memoryFault(of record: VMRecord) -> String? {
        for memory in record.memories where memory.place == .file {
            let name = StateNames.memory(memory.id.rawValue, of: record.number)
            let fault: String
            do throws(Errno) {
                let (file, size) = try openFile(name, O_RDONLY)
                close(file)
                if UInt64(size) == memory.size.rawValue { continue }
                fault = "has \(size) bytes, not \(memory.size.rawValue)"
            } catch { fault = "can't be opened: \(error)" }
            return
                "it can't be restored: \(name), its memory \"\(memory.name)\", \(fault); put it back, "
                + "or start the daemon and destroy the VM"
        }
        return nil
    }
}
