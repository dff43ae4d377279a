import Foundation
import Testing

/// The results of a session that a guest and an operator see.
private struct Session {
    var firmware = ""
    var views: [String] = []
    var isMoved = false
    var status: Int32 = -1
    var errors = ""

    /// Boots, plugs two DIMMs, starts and cancels a migration, moves a BAR.
    init?(_ kind: String, under options: [String]?, watch: LiveWatch? = nil) throws {
        guard let machine = QEMUMachine(kind, under: options, watch: watch) else { return nil }
        firmware = machine.firmwareLog()
        for number in 1...2 {
            let memory = "\"id\":\"m\(number)\",\"size\":134217728"
            _ = machine.ask("object-add", "{\"qom-type\":\"memory-backend-ram\",\(memory)}")
            let dimm = "\"id\":\"d\(number)\",\"memdev\":\"m\(number)\""
            _ = machine.ask("device_add", "{\"driver\":\"pc-dimm\",\(dimm)}")
        }
        _ = machine.ask("migrate-set-parameters", "{\"max-bandwidth\":4096}")
        _ = machine.ask("migrate", "{\"uri\":\"exec:cat>/dev/null\"}")
        try machine.waitForMigration("active")
        _ = machine.ask("migrate_cancel")
        try machine.waitForMigration("cancelled")
        isMoved = machine.moveBAR(to: 0xe000_0000)
        // Under --atomic the move is applied once QEMU's thread is quiet. On a busy machine QEMU
        // could end before that, and the kernel would never see the move.
        if let watch, isMoved { isMoved = watch.wait(for: "\"0xe0000000\"") }
        views = machine.flatViews()
        (status, errors) = machine.quit()
    }
}

@Suite(
    "QEMU under run", .serialized,
    .enabled(if: Workbench.canRunQEMU, "needs /dev/kvm, qemu-system-x86_64 and the library"))
struct QEMUTests {
    @Test(
        "boots, DIMMs, a cancelled migration and a moved BAR are as without us, without a hole",
        .timeLimit(.minutes(10)), arguments: ["q35", "pc"])
    func atomic(machine: String) throws {
        let record = Workbench.file("\(machine).jsonl")
        let report = Workbench.file("\(machine).txt")
        let bare = try #require(try Session(machine, under: nil))
        let run = try #require(
            try Session(
                machine, under: ["--atomic", "--record", record, "--report-file", report]))
        #expect(bare.firmware.contains("No bootable device"))
        #expect(run.firmware == bare.firmware)
        #expect(run.views == bare.views)
        #expect(bare.isMoved && run.isMoved)
        #expect(run.status == 0, "\(run.errors)")
        // What the kernel saw: no transaction with a vCPU in the guest.
        let lines = text(report).components(separatedBy: "\nwhat the VMM asked for")
        #expect(lines[0].contains("what the kernel saw"))
        #expect(!lines[0].contains("running"), "\(lines[0])")
        let replay = Finished(running: Workbench.memslotctl ?? "", ["replay", record])
        #expect(replay.status == 0, "\(replay.output)")
    }

    @Test(
        "a recorded boot replays on the simulator, and is the same boot",
        .timeLimit(.minutes(10)))
    func record() throws {
        let record = Workbench.file("q35.jsonl")
        let run = try #require(try Session("q35", under: ["--record", record]))
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.firmware.contains("No bootable device"))
        let replay = Finished(running: Workbench.memslotctl ?? "", ["replay", record])
        #expect(replay.status == 0, "\(replay.output)")
    }

    /// A machine that differs in how it uses KVM's memory.
    struct Variant: Sendable, CustomTestStringConvertible {
        var machine = "q35"
        var accelerator = "kvm"
        var more: [String] = []

        var testDescription: String { ([machine, accelerator] + more).joined(separator: " ") }

        static let all = [
            Variant(machine: "q35,kernel-irqchip=split", more: ["-device", "intel-iommu"]),
            Variant(accelerator: "kvm,dirty-ring-size=4096"),
            Variant(
                machine: "q35,memory-backend=ram",
                more: ["-object", "memory-backend-memfd,id=ram,size=256M,share=on"]),
            Variant(machine: "pc", more: ["-device", "virtio-balloon-pci"]),
        ]
    }

    /// Boots twice and migrates away.
    private func reset(
        _ variant: Variant, under options: [String]?
    ) throws -> (firmware: String, views: [String], status: Int32)? {
        guard
            let machine = QEMUMachine(
                variant.machine, accelerator: variant.accelerator, more: variant.more,
                under: options)
        else { return nil }
        _ = machine.firmwareLog()
        _ = machine.ask("system_reset")
        // The reset may come before the end of the first log's last line, or after it.
        let firmware = machine.firmwareLog(boots: 2).replacingOccurrences(of: "\n", with: "")
        _ = machine.ask("migrate", "{\"uri\":\"exec:cat>/dev/null\"}")
        try machine.waitForMigration("completed")
        let views = machine.flatViews()
        return (firmware, views, machine.quit().status)
    }

    @Test(
        "reset and migrated away, other machines are as without us, without a hole",
        .timeLimit(.minutes(10)), arguments: Variant.all)
    func variants(variant: Variant) throws {
        let report = Workbench.file("variant.txt")
        let bare = try #require(try reset(variant, under: nil))
        let run = try #require(
            try reset(variant, under: ["--atomic", "--report-file", report]))
        #expect(bare.firmware.components(separatedBy: "No bootable device.").count == 3)
        #expect(run.firmware == bare.firmware)
        #expect(run.views == bare.views)
        #expect(run.status == bare.status)
        let seen = text(report).components(separatedBy: "\nwhat the VMM asked for")[0]
        #expect(seen.contains("what the kernel saw"))
        // A reset takes the memory of PCI devices away until the firmware maps it again: vCPUs run
        // meanwhile. No other memory is missing beside them.
        let running = seen.components(separatedBy: "\n").filter { $0.contains(" running ") }
        #expect(running.allSatisfy { $0.hasPrefix("0xf") }, "\(running)")
    }

    @Test(
        "the live events agree with the report at the end, and the maps follow",
        .timeLimit(.minutes(10)), arguments: [[], ["--atomic"]])
    func live(options: [String]) throws {
        let watch = LiveWatch()
        let run = try #require(
            try Session("q35", under: ["--socket", watch.socket] + options, watch: watch))
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.isMoved)
        let events = watch.finish()
        let ended = try #require(events.ended)
        #expect(events.live.agree(with: ended), "\(events.live), \(ended)")
        #expect(events.live.withHoles > 0)
        #expect(options.isEmpty || events.live.withHolesInGuest == 0)
        // The migration's dirty logging, and the BAR that was moved.
        let changed = events.events("memslots.committed")
            .flatMap { $0["changed"] as? [[String: Any]] ?? [] }
        #expect(changed.contains { $0["guestPhysicalAddress"] as? String == "0xe0000000" })
        #expect(
            changed.contains { ($0["flags"] as? [String])?.contains("log-dirty-pages") == true })
    }
}
