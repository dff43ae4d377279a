import Memslots

/// A VM before a scene's submit, with hooks, observers and dirty pages.
final class SweepWorld {
    let scene: SweepScene
    let vm: any SweptVM
    let hold: ScriptedHold
    let backend: FaultyBackend
    let table: MemslotTable
    let hookLog: RecordingHook.Log
    /// A vhost-user back end that follows the table; `nil` for arrays of too many messages.
    let backEnd: FollowingBackEnd?
    /// The events that observers received.
    let events = Locked<[String]>([])
    /// This VM's guest_memfds by the descriptors of the scene.
    private let descriptors: [Int32: Int32]
    private let observation: Observation
    private var dirtyPages: DirtyPageSetup

    struct Impossible: Error {
        let reason: String
    }

    init(_ scene: SweepScene, on factory: any VMFactory) throws(Impossible) {
        self.scene = scene
        do throws(Errno) {
            vm = try factory.makeVM(for: scene)
            var descriptors: [Int32: Int32] = [:]
            for (name, size) in scene.guestMemfds.sorted(by: { $0.key < $1.key }) {
                descriptors[name] = try vm.makeGuestMemfd(size)
            }
            self.descriptors = descriptors
            for slot in scene.before { try vm.backend.apply(.create(slot.renaming(descriptors))) }
        } catch { throw Impossible(reason: "the active array can't be installed: \(error)") }
        hold = ScriptedHold()
        backend = FaultyBackend(vm.backend, hold: hold, descriptors: descriptors)
        hookLog = RecordingHook.Log()
        dirtyPages = DirtyPageSetup(scene.before, capabilities: vm.backend.capabilities)
        table = try converting(
            { (error: InvalidArray) in
                Impossible(reason: "the active array is invalid here: \(error.message)")
            }, MemslotTable(backend: backend, installed: scene.before, vcpus: hold))
        hookLog.table = table
        for name in ["first", "second"] { table.add(RecordingHook(name, hookLog)) }
        do {
            backEnd = scene.before.count + scene.wanted.count > 256 ? nil : try FollowingBackEnd()
            if let backEnd { try table.add(backEnd) }
        } catch { throw Impossible(reason: "no back end can follow: \(error)") }
        do throws(ReentryError) {
            let events = events
            observation = try table.observe { event in
                var text = "\(EventLedger.Entry(event))"
                if case .committed(_, let previous, _) = event { text += " after \(previous)" }
                let line = text
                events.withLock { $0.append(line) }
            }.observation
        } catch { throw Impossible(reason: error.message) }
    }

    deinit { hookLog.table = nil }

    /// Whether exactly `slots` and private `ranges` are installed, according to the VM itself.
    func holdsExactly(_ slots: [Memslot], _ ranges: [GuestRange] = []) -> Bool {
        vm.holdsExactly(slots.map { $0.renaming(descriptors) }) && vm.privateRanges == ranges
    }

    /// The private ranges to submit.
    var privateRanges: [GuestRange] {
        guard scene.hasAttributes, vm.backend is any MemoryAttributeBackend,
            table.capabilities.memoryAttributes
        else { return [] }
        let page = vm.backend.capabilities.pageSize
        return [0, 2, 4].map { GuestRange(address: .init($0 * page.rawValue), size: page) }
    }

    private var options: SubmitOptions {
        var options = SubmitOptions(quiesce: scene.quiesce)
        options.privateRanges = privateRanges
        return options
    }

    /// The log that each logging slot must have.
    var dirt: [SlotKey: DirtyBitmap] { dirtyPages.expected }

    /// Makes pages dirty in the kernel, in the table, and in both.
    func makeDirty() throws(DirtyLogError) { try dirtyPages.apply(to: vm, table) }

    func submit(
        expecting generation: Generation? = nil, deadline: Int = 60_000
    ) -> Result<Receipt, SubmitError> {
        var options = options
        options.expectedGeneration = generation
        options.quiesceDeadline = .milliseconds(deadline)
        return Result { () throws(SubmitError) in try table.submit(scene.wanted, options: options) }
    }

    /// Plans the scene's array. Its ids show whether a failed submit kept any.
    func plan() -> Receipt? { try? table.plan(scene.wanted, options: options) }

    /// Arms a script and empties all logs.
    func begin(_ script: FaultScript = FaultScript(), veto: Int? = nil) {
        backend.arm(script)
        hookLog.begin(veto: veto)
        events.withLock { $0 = [] }
    }
}
