import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import Memslots

/// The change from one array to another, planned without a VM.
struct OfflineChange {
    let before: [Memslot]
    let after: [Memslot]
    let names: [MemoryObjectID: String]
    let receipt: Receipt
    let rules: UsedRules

    /// Plans the change between the arrays of two files by the rules of a VM.
    ///
    /// - Throws: the exit status for unusable input, after printing every fault with its line.
    init(
        before beforeName: String, after afterName: String, _ options: OfflineRules, flags: String?,
        quiesce: SubmitOptions.Quiesce = .auto
    ) throws {
        let (beforeFile, afterFile) = (
            try ArrayFile.read(beforeName), try ArrayFile.read(afterName)
        )
        let present = PicturedArray(beforeFile.slots)
        let wanted = PicturedArray(afterFile.slots, naming: present)
        rules = try options.rules(
            for: [(afterName, afterFile), (beforeName, beforeFile)], flags: flags)
        let backend = OfflineBackend(rules.limits)
        let table: MemslotTable
        do throws(InvalidArray) { table = try MemslotTable(backend: backend) } catch {
            throw beforeFile.failure(.invalid(error), in: beforeName, rules)
        }
        // Installed first, so that omitted ids are picked and dirty logs exist.
        do throws(SubmitError) {
            _ = try table.submit(present.slots, options: SubmitOptions(), prior: present.faults)
        } catch { throw beforeFile.failure(error, in: beforeName, rules) }
        do throws(SubmitError) {
            receipt = try table.plan(
                wanted.slots, options: SubmitOptions(quiesce: quiesce), prior: wanted.faults)
        } catch { throw afterFile.failure(error, in: afterName, rules) }
        before = table.snapshot().array.slots
        after = receipt.slots
        names = wanted.names
    }

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

extension ArrayFile {
    /// - Throws: the exit status for an array that breaks a rule, after printing every fault.
    func check(_ array: PicturedArray, in name: String, _ used: UsedRules) throws {
        do throws(SubmitError) {
            let table: MemslotTable
            do throws(InvalidArray) {
                table = try MemslotTable(backend: OfflineBackend(used.limits))
            } catch { throw .invalid(error) }
            _ = try table.plan(array.slots, options: SubmitOptions(), prior: array.faults)
        } catch { throw failure(error, in: name, used) }
    }

    /// Prints each fault of the array with its line in the file `name`, and the rules.
    func failure(_ error: SubmitError, in name: String, _ rules: UsedRules) -> ExitCode {
        defer { Terminal.complain(rules.description) }
        guard case .invalid(let array) = error else {
            Terminal.complain("\(name): \(error.message)")
            return .unusable
        }
        for fault in array.violations { complain(about: fault, in: name) }
        if array.count > array.violations.count {
            Terminal.complain("\(name): and \(array.count - array.violations.count) more faults")
        }
        return .unusable
    }
}
