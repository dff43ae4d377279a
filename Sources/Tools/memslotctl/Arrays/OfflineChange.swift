import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import Memslots

/// The way from one array to another, planned without a VM.
struct OfflineChange {
    let before: [Memslot]
    let after: [Memslot]
    let names: [MemoryObjectID: String]
    let receipt: Receipt

    /// Plans the way between the arrays of two files.
    ///
    /// - Throws: the exit status for unusable input, once every fault was told with its line.
    init(before beforeName: String, after afterName: String) throws {
        let (beforeFile, afterFile) = (
            try ArrayFile.read(beforeName), try ArrayFile.read(afterName)
        )
        let present = PicturedArray(beforeFile.slots)
        let wanted = PicturedArray(afterFile.slots, naming: present)
        let backend = OfflineBackend()
        let table: MemslotTable
        do throws(InvalidArray) { table = try MemslotTable(backend: backend) } catch {
            throw error.told(beforeName, beforeFile)
        }
        // Only now are they installed: ids that are left out are picked, logs are there.
        do throws(SubmitError) {
            _ = try table.submit(present.slots, options: SubmitOptions(), prior: present.faults)
        } catch {
            throw error.told(beforeName, beforeFile)
        }
        do throws(SubmitError) {
            receipt = try table.plan(wanted.slots, options: SubmitOptions(), prior: wanted.faults)
        } catch {
            throw error.told(afterName, afterFile)
        }
        before = table.snapshot().array.slots
        after = receipt.slots
        names = wanted.names
    }

    /// The change as a picture.
    var picture: ChangePicture {
        ChangePicture(before: before, after: after, marks: marks, names: names)
    }

    private var marks: [SlotKey: ChangeMark] {
        var marks: [SlotKey: ChangeMark] = [:]
        let diff = receipt.diff
        for slot in diff.removed { marks[slot.assignedKey] = .removed }
        for slot in diff.added {
            marks[slot.assignedKey] = marks[slot.assignedKey] == nil ? .added : .replaced
        }
        for pair in diff.moved { marks[pair.after.assignedKey] = .moved }
        for pair in diff.reflagged { marks[pair.after.assignedKey] = .reflagged }
        return marks
    }
}

/// A VM with all that any host has, and nothing behind it: calls succeed, nothing is dirty.
private final class OfflineBackend: MemslotBackend {
    let capabilities = Capabilities(
        addressSpaces: 2, userspaceEnd: UserspaceAddress(0xff_ffff_ffff_f000),
        flags: [.logDirtyPages, .readOnly, .guestMemfd], providesGuestMemfd: true)

    func beginTransaction() {}

    func apply(_ call: SlotCall) throws(Errno) {}

    func collectDirtyPages() {}

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        DirtyBitmap(pageCount: slot.pageCount)
    }
}

extension SubmitError {
    /// Tells what is wrong with a file's array.
    fileprivate func told(_ name: String, _ file: ArrayFile) -> ExitCode {
        if case .invalid(let array) = self { return array.told(name, file) }
        Terminal.complain("\(name): \(message)")
        return .unusable
    }
}

extension InvalidArray {
    /// Tells every fault with its line in the file.
    fileprivate func told(_ name: String, _ file: ArrayFile) -> ExitCode {
        for violation in violations {
            let line = violation.index.map { ":\(file.lines[$0])" } ?? ""
            Terminal.complain("\(name)\(line): \(violation.message)")
        }
        if count > violations.count {
            Terminal.complain("\(name): and \(count - violations.count) more faults")
        }
        return .unusable
    }
}
