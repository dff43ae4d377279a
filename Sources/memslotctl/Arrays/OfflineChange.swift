import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotSimulator
import Memslots

/// The way from one array to another, planned without a VM.
struct OfflineChange {
    let before: PicturedArray
    let after: [Memslot]
    let names: [MemoryObjectID: String]
    let receipt: Receipt

    /// Plans the way between the arrays of two files.
    ///
    /// - Throws: the exit status for unusable input, once every fault was told with its line.
    init(before beforeName: String, after afterName: String) throws {
        let beforeFile = try ArrayFile.read(beforeName)
        let afterFile = try ArrayFile.read(afterName)
        before = PicturedArray(beforeFile.slots)
        let wanted = PicturedArray(afterFile.slots, naming: before)
        names = wanted.names
        let table: MemslotTable
        do throws(InvalidArray) {
            table = try MemslotTable(backend: Self.anyVM(), installed: before.slots)
        } catch {
            throw error.told(beforeName, beforeFile)
        }
        do throws(SubmitError) {
            receipt = try table.plan(wanted.slots)
        } catch {
            guard case .invalid(let array) = error else {
                Terminal.complain("\(afterName): \(error.message)")
                throw ExitCode.unusable
            }
            throw array.told(afterName, afterFile)
        }
        after = receipt.slots ?? wanted.slots
    }

    /// The change as a picture.
    var picture: ChangePicture {
        ChangePicture(before: before.slots, after: after, marks: marks, names: names)
    }

    private var marks: [SlotKey: ChangeMark] {
        var marks: [SlotKey: ChangeMark] = [:]
        let diff = receipt.diff
        for slot in diff.removed { marks[slot.key] = .removed }
        for slot in diff.added { marks[slot.key] = marks[slot.key] == nil ? .added : .replaced }
        for pair in diff.moved { marks[pair.after.key] = .moved }
        for pair in diff.reflagged { marks[pair.after.key] = .reflagged }
        return marks
    }

    /// A VM with all that any host has.
    private static func anyVM() -> SimulatedBackend {
        SimulatedBackend(
            capabilities: Capabilities(
                addressSpaces: 2, userspaceEnd: UserspaceAddress(0xff_ffff_ffff_f000),
                flags: [.logDirtyPages, .readOnly, .guestMemfd], providesGuestMemfd: true))
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
