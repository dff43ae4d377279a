import Testing

@testable import Memslots

/// Records the calls that it gets, and refuses if asked.
private final class WholeRecorder: TransactionHook {
    let name = "whole"
    let log: Shared<[String]>
    let refusal = Shared<String?>(nil)
    let written = Shared<[DirtyPages]>([])

    init(_ log: Shared<[String]>) { self.log = log }

    private func record(_ step: String, _ changes: TransactionChanges) {
        let counts = "\(changes.changes.count) changes, \(changes.before.count) to "
        log.update { $0.append("\(step) whole \(counts)\(changes.after.count)") }
    }

    func begin(with snapshot: TableSnapshot) throws(HookVeto) {
        if let reason = refusal.value { throw HookVeto(reason) }
        log.update { $0.append("begin whole \(snapshot.array.count)") }
    }
    func prepare(_ changes: TransactionChanges) throws(HookVeto) {
        record("prepare", changes)
        if let reason = refusal.value { throw HookVeto(reason) }
    }
    func commit(_ changes: TransactionChanges) { record("commit", changes) }
    func finish(_ changes: TransactionChanges) { record("finish", changes) }
    func abort(_ changes: TransactionChanges) { record("abort", changes) }
    func dirtyPages() -> [DirtyPages] {
        var pages: [DirtyPages] = []
        written.update { (pages, $0) = ($0, []) }
        return pages
    }
}

private final class EachRecorder: MemslotHook {
    let name = "each"
    let needsQuiescence = false
    let log: Shared<[String]>

    init(_ log: Shared<[String]>) { self.log = log }

    func prepare(_ change: MemslotChange) throws(HookVeto) {
        log.update { $0.append("prepare each") }
    }
    func commit(_ change: MemslotChange) { log.update { $0.append("commit each") } }
    func finish(_ change: MemslotChange) { log.update { $0.append("finish each") } }
    func abort(_ change: MemslotChange) { log.update { $0.append("abort each") } }
}

@Suite("hooks of whole transactions")
struct TransactionHookTests {
    private let old = [slot(0, at: 0, pages: 4, flags: .logDirtyPages), slot(1, at: 8)]
    private let new = [slot(0, at: 0, pages: 4, flags: .logDirtyPages), slot(2, at: 16)]

    private func table() throws -> (ModelBackend, MemslotTable, Shared<[String]>, WholeRecorder) {
        let backend = ModelBackend(old)
        let table = try MemslotTable(backend: backend, installed: old)
        let log = Shared<[String]>([])
        let hook = WholeRecorder(log)
        try table.add(hook)
        table.add(EachRecorder(log))
        return (backend, table, log, hook)
    }

    @Test("begin with the present array, and come after the hooks of changes")
    func order() throws {
        let (_, table, log, hook) = try table()
        try table.submit(new)
        let all = "whole 2 changes, 2 to 2"
        #expect(
            log.value == [
                "begin whole 2", "prepare each", "prepare each", "prepare \(all)", "commit each",
                "commit each", "commit \(all)", "finish each", "finish each", "finish \(all)",
            ])
        table.remove(hook)
        log.update { $0 = [] }
        try table.submit(old)
        #expect(log.value.allSatisfy { $0.hasSuffix("each") })
    }

    @Test("are aborted before the hooks of changes, and not if they refused")
    func abort() throws {
        let (backend, table, log, hook) = try table()
        backend.refuse(at: 1)
        #expect(table.refusal(of: new)?.kind == "rolled-back")
        #expect(
            log.value.suffix(3) == ["abort whole 2 changes, 2 to 2", "abort each", "abort each"])
        hook.refusal.update { $0 = "full" }
        guard case .rejected("whole", let change, "full")? = table.refusal(of: new) else {
            Issue.record("not rejected")
            return
        }
        #expect(change == .removed(old[1]))
        #expect(
            log.value.suffix(3) == ["prepare whole 2 changes, 2 to 2", "abort each", "abort each"])
    }

    @Test("that can't begin are not added")
    func refusedBegin() throws {
        let table = try MemslotTable(backend: ModelBackend(old), installed: old)
        let log = Shared<[String]>([])
        let hook = WholeRecorder(log)
        hook.refusal.update { $0 = "no" }
        #expect(throws: HookVeto("no")) { try table.add(hook) }
        try table.submit(new)
        #expect(log.value == [])
    }

    @Test("report what they wrote, and it is carried as the kernel's bits are")
    func dirtyPages() throws {
        let (_, table, _, hook) = try table()
        hook.written.update { $0 = [DirtyPages(slot: old[0], runs: [1..<2])] }
        #expect(try table.dirtyLog(of: old[0]).bitmap.runs == [1..<2])
        let (low, high) = old[0].split(at: old[0].guestPhysicalAddress.advanced(by: .pages(2)) ?? 0)
        hook.written.update {
            $0 = [DirtyPages(slot: old[0], runs: [3..<4]), DirtyPages(slot: old[1], runs: [0..<1])]
        }
        let receipt = try table.submit([low, high, old[1]])
        let part = try #require(
            receipt.slots.first { $0.guestPhysicalAddress == high.guestPhysicalAddress })
        #expect(try table.dirtyLog(of: part).bitmap.runs == [1..<2])
        #expect(try table.dirtyLog(of: low).bitmap.runs == [1..<2])
        #expect(receipt.unmappedDirtyPages == [])
        hook.written.update { $0 = [DirtyPages(slot: part, runs: [0..<1])] }
        let last = try table.submit([low, old[1]])
        #expect(last.unmappedDirtyPages.map(\.runs) == [[0..<2]])
    }
}
