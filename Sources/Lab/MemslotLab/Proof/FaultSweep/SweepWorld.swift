import Memslots

/// A VM as it is before a scene's submit, with everything around it that a fault could harm.
final class SweepWorld {
    let scene: SweepScene
    let vm: any SweptVM
    let hold: ScriptedHold
    let backend: FaultyBackend
    let table: MemslotTable
    let book: RecordingHook.Book
    let events: EventBook
    /// The descriptors of this VM's guest_memfds, by those that the scene names.
    let descriptors: [Int32: Int32]
    private let observation: Observation
    private var soil: Soil

    /// Why there is no such world.
    struct Impossible: Error {
        let reason: String
    }

    init(_ original: SweepScene, on ground: any SweepGround) throws(Impossible) {
        do throws(Errno) {
            vm = try ground.makeVM(for: original)
            var descriptors: [Int32: Int32] = [:]
            for (name, size) in original.guestMemfds.sorted(by: { $0.key < $1.key }) {
                descriptors[name] = try vm.makeGuestMemfd(size)
            }
            self.descriptors = descriptors
            scene = original.renaming(descriptors)
            for slot in scene.before { try vm.backend.apply(.create(slot)) }
        } catch {
            throw Impossible(reason: "the slots before can't be installed: \(error)")
        }
        hold = ScriptedHold()
        backend = FaultyBackend(vm.backend, hold: hold)
        book = RecordingHook.Book()
        events = EventBook()
        soil = Soil(scene.before, capabilities: vm.backend.capabilities)
        do throws(InvalidArray) {
            table = try MemslotTable(backend: backend, installed: scene.before, vcpus: hold)
        } catch {
            throw Impossible(reason: "not an array here: \(error.message)")
        }
        book.attach(table)
        for name in ["first", "second"] { table.add(RecordingHook(name, book)) }
        do throws(ReentryError) {
            let events = events
            observation = try table.observe { events.note($0) }.observation
        } catch {
            throw Impossible(reason: error.message)
        }
    }

    deinit { book.attach(nil) }

    /// What every logging slot must tell.
    var dirt: [SlotKey: DirtyBitmap] { soil.expected }

    /// Makes pages dirty in the kernel, in the table's own bits, and in both.
    func makeDirty() throws(DirtyLogError) { try soil.spread(on: vm, table) }

    /// Submits what the scene wants.
    func submit(
        expecting generation: Generation? = nil, deadline: Int = 1_000
    ) -> Result<Receipt, SubmitError> {
        do throws(SubmitError) {
            return .success(
                try table.submit(
                    scene.wanted,
                    options: SubmitOptions(
                        expectedGeneration: generation, quiesce: scene.quiesce,
                        quiesceDeadline: .milliseconds(deadline))))
        } catch {
            return .failure(error)
        }
    }

    /// The plan as it is now; its ids tell whether a failed submit has kept any.
    func plan() -> Receipt? {
        do throws(SubmitError) {
            return try table.plan(scene.wanted, options: SubmitOptions(quiesce: scene.quiesce))
        } catch {
            return nil
        }
    }

    /// Begins a new page in all books.
    func begin(_ script: FaultScript = FaultScript(), veto: Int? = nil) {
        backend.play(script)
        book.begin(veto: veto)
        events.begin()
    }
}

/// What an observer is told.
final class EventBook: Sendable {
    private let state = Locked<[String]>([])

    func begin() { state.withLock { $0 = [] } }

    func note(_ event: TableEvent) {
        let text =
            switch event {
            case .committed(let receipt, let previous, _):
                "committed \(previous) to \(receipt.generation)"
            case .rolledBack(_, let generation): "rolled back at \(generation)"
            case .failed(_, let generation): "failed at \(generation)"
            case .recovered(let generation): "recovered at \(generation)"
            case .retired(let generation): "retired before \(generation)"
            }
        state.withLock { $0.append(text) }
    }

    var told: [String] { state.withLock { $0 } }
}
