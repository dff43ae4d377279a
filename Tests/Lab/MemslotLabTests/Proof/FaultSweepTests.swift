import Foundation
import MemslotKVM
import MemslotLab
import MemslotProtocol
import MemslotScenario
import MemslotSimulator
import Memslots
import TestSupport
import Testing

/// The scenes of fixtures.
enum Fixtures {
    private static let root = Repository.url("Fixtures")

    static func scenes(in folders: String...) throws -> [SweepScene] {
        var scenes: [SweepScene] = []
        for folder in folders {
            let names = try FileManager.default.contentsOfDirectory(
                atPath: root.appending(path: folder).path)
            for name in names.sorted()
            where name.hasSuffix(".jsonl") && !name.hasSuffix(".raw.jsonl") {
                let bytes = try Data(contentsOf: root.appending(path: "\(folder)/\(name)"))
                var reader = ScenarioReader(LineReader(bytes: Array(bytes)))
                var play = FixtureScenes("\(folder)/\(name)")
                while let step = try reader.next() {
                    if let scene = try play.play(step) { scenes.append(scene) }
                }
            }
        }
        return scenes
    }
}

/// Creates simulated VMs with a defect that a sweep must find.
private struct DefectiveVMFactory: VMFactory {
    enum Defect: CaseIterable {
        /// A failed delete deletes nevertheless.
        case failsWithEffect
        /// A successful create creates nothing.
        case createsNothing
        /// A read of a dirty log returns no pages.
        case forgetsPages
    }

    let defect: Defect

    func reasonToSkip(_ scene: SweepScene) -> String? { nil }

    func makeVM(for scene: SweepScene) throws(Errno) -> any SweptVM {
        DefectiveVM(try SimulatedVMFactory().makeVM(for: scene), defect)
    }
}

private final class DefectiveVM: SweptVM, MemslotBackend {
    // Unsafe: one thread at a time calls a backend.
    nonisolated(unsafe) private let vm: any SweptVM
    nonisolated(unsafe) private var calls = 0
    nonisolated(unsafe) private var reads = 0
    private let defect: DefectiveVMFactory.Defect

    init(_ vm: any SweptVM, _ defect: DefectiveVMFactory.Defect) {
        self.vm = vm
        self.defect = defect
    }

    var backend: any MemslotBackend { self }
    var hasGuestWrites: Bool { true }
    var capabilities: Capabilities { vm.backend.capabilities }

    func makeGuestMemfd(_ size: UInt64) throws(Errno) -> Int32 { try vm.makeGuestMemfd(size) }
    func holdsExactly(_ slots: [Memslot]) -> Bool { vm.holdsExactly(slots) }
    var privateRanges: [GuestRange] { vm.privateRanges }
    func write(_ pages: [UInt64], of slot: Memslot) { vm.write(pages, of: slot) }

    func apply(_ call: SlotCall) throws(Errno) {
        calls += 1
        if defect == .createsNothing, case .create = call, calls % 7 == 0 { return }
        try vm.backend.apply(call)
        if defect == .failsWithEffect, case .delete = call, calls % 7 == 0 { throw .outOfMemory }
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        reads += 1
        let bits = try vm.backend.readDirtyLog(of: slot, clear: clear)
        return defect == .forgetsPages && reads % 5 == 0
            ? DirtyBitmap(pageCount: bits.pageCount) : bits
    }

    func beginTransaction() {}
    func collectDirtyPages() {}
}

@Suite("fault sweep")
struct FaultSweepTests {
    @Test("after every fault the VM is as before, or failed and recovered")
    func everyPoint() throws {
        var scenes = try Fixtures.scenes(in: "faults", "dirty", "profiles")
        #expect(scenes.count > 150)
        scenes += scenes.map { scene in
            var scene = scene
            scene.quiesce = .continuity
            return scene
        }
        var report = SweepReport()
        for (index, scene) in scenes.enumerated() {
            // In turns, so that each way of clearing a log has scenes of each kind.
            let protection = DirtyLogProtection.allCases[index % 3]
            report.add(FaultSweep(on: SimulatedVMFactory(protection), every: 7).sweep(scene))
        }
        #expect(report.findings.prefix(3) == [])
        #expect(report.points > 2_000)
        for kind in FaultPoint.Kind.allCases { #expect(report.visited[kind] ?? 0 > 0, "\(kind)") }
    }

    @Test("and in scenarios of every other kind")
    func otherFixtures() throws {
        let scenes = try Fixtures.scenes(in: "plans", "kernel", "qemu", "layouts")
        var report = SweepReport()
        let sweep = FaultSweep(on: SimulatedVMFactory(), longest: 12, every: 47)
        for scene in scenes where scene.wanted.count < 100 { report.add(sweep.sweep(scene)) }
        #expect(report.findings.prefix(3) == [])
        #expect(report.submits > 150)
    }

    @Test("a VM with a defect is found", arguments: DefectiveVMFactory.Defect.allCases)
    private func defects(defect: DefectiveVMFactory.Defect) throws {
        var report = SweepReport()
        let sweep = FaultSweep(on: DefectiveVMFactory(defect: defect), every: 7)
        for scene in try Fixtures.scenes(in: "faults") {
            report.add(sweep.sweep(scene))
        }
        #expect(report.findings.count > 5)
    }

    @Test(
        "and on KVM VMs, in a sample",
        .enabled(if: KVMSystem.unavailability() == nil, "KVM does not open here"))
    func kernel() throws {
        let factory = try KVMFactory(system: KVMSystem())
        var report = SweepReport()
        for (index, scene) in try Fixtures.scenes(in: "faults").enumerated()
        where index % 16 == 0 {
            report.add(FaultSweep(on: factory, separately: true, every: 97).sweep(scene))
        }
        #expect(report.findings.prefix(3) == [])
        #expect(report.points > 5)
    }
}
