import ArgumentParser
import MemslotKVM
import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotTestKit

struct TortureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "torture",
        abstract: "Change slots under running vCPUs, and count what they observe.",
        discussion: """
            A guest accesses a region of memory in a loop while transactions replace its slots. Every \
            array maps the same host pages, so that the guest should observe nothing. With --mode \
            naive, the same operations run without holding vCPUs: the control.

              memslot-lab torture --change split
              memslot-lab torture --change split --mode naive

            --change delete deletes one slot beside the guest, which auto does not hold. Its vCPUs \
            are witnesses: each draws a ticket before and after each access, so that an access that \
            found no memory and ended before one began that found it is seen, on any two vCPUs. \
            Every third vCPU is in real mode: where KVM emulates it, it may lose the slot early, \
            which is counted and is no fault. The control deletes two slots at once.

              memslot-lab torture --change delete --vcpus 3 --transactions 100000

            With --continuity slots beside the region are created before the holds and \
            deleted after them.

            With --observer vhost-user a qemu-storage-daemon follows the memory, and the guest of its \
            disk always has requests in flight, whose contents are compared.

            With --spaces 2 each vCPU enters SMM before every run and makes a round there, with slots \
            of its own at the same guest addresses: they map its SMRAM, and half of the host pages of \
            address space 0. Each transaction changes both, and in both the page of a tag with its \
            number. A vCPU that reads a tag below the one before has observed half a change.

            With --memory hugetlb or thp the region has 8 MiB, and every second transaction switches \
            logging alone, so that KVM splits huge mappings and makes them again. What the host and \
            KVM had is printed. Without nested paging KVM has some only for --guest long.

            Exit status: 0 nothing was observed or lost, or the mode is naive; 1 something was; \
            2 the torture could not be completed; 3 no /dev/kvm, no qemu-storage-daemon, no second \
            address space, no huge page, or a KVM without what an option needs.
            """)

    @OptionGroup var options: TortureOptions

    @Flag(help: "Print one JSON object and nothing else.") var json = false

    func run() throws {
        let report = try torture()
        let text = TortureText(options: options, report: report)
        if json { Terminal.write(text.json) } else { Terminal.print(text.lines) }
        if options.mode == .atomic && !report.isClean { throw ExitCode.failure }
    }

    private func torture() throws(TortureError) -> TortureReport {
        let torture = try Torture(options)
        if !json { Terminal.print(TortureText.heading(options)) }
        var bar = ProgressBar(total: json ? nil : options.transactions, shortest: 500)
        defer { bar.end() }
        return try torture.run { bar.show($0) }
    }
}

extension TortureError: UnusableError {
    var exitCode: ExitCode {
        switch self {
        case .kvm(.deviceMissing), .kvm(.permissionDenied), .kvm(.unsupportedVersion),
            .kvm(.kernelTooOld), .kvm(.unsupportedOption), .unavailable:
            .noKVM
        default: .unusable
        }
    }
}

struct TortureText {
    let options: TortureOptions
    let report: TortureReport

    static func heading(_ options: TortureOptions) -> [String] {
        if options.change == .delete {
            let what = options.mode == .atomic ? "a slot is" : "two slots are"
            return ["\(options.vcpus) witnesses access 2 pages, beside which \(what) deleted.", ""]
        }
        let vcpus = options.vcpus == 1 ? "1 vCPU" : "\(options.vcpus) vCPUs"
        let who: String
        switch options.backend {
        case .simulated: who = "\(vcpus) of a simulated VM access 16 pages and read the table"
        case .kvm:
            let code = options.codeInRegion ? ", its code among them," : ""
            let does = options.change == .romd ? "read" : "increment numbers in"
            let mode = options.guest == .real ? "16-bit real mode" : "64-bit user mode"
            let spaces = options.spaces == 2 ? ", and as many in SMM," : ""
            who = "\(vcpus) in \(mode) \(does) 16 pages\(code)\(spaces)"
        }
        let held =
            options.mode == .atomic ? "the gate holds vCPUs" : "no vCPU is held (the control)"
        return [
            "\(who) while \(options.transactions) transactions \(options.change.words).",
            "Every array maps the same host pages; \(held).", "",
        ]
    }

    var lines: [String] {
        var table = TextTable(columns: [.numbers("count"), "of what"])
        func row(_ count: TortureReport.Count, _ what: String, isFault: Bool? = nil) {
            let number = report.counts[count]
            let isFault = isFault ?? TortureReport.faults.contains(count)
            table.append([
                TextTable.Cell("\(number)", ink: isFault && number > 0 ? .red : .plain),
                TextTable.Cell(what),
            ])
        }
        let end = report.hasEnded ? ", until KVM ended the VM" : ""
        row(.transactions, "transactions" + end, isFault: report.hasEnded)
        row(.slotCalls, "operations")
        row(.rounds, "rounds of the guest")
        if options.continuity { row(.outsideHolds, "creates before and deletes after a hold") }
        if options.change == .delete {
            row(.witnessedDeletions, "deletions beside the guest")
            row(.directViolations, "direct accesses after the first without")
            row(.indirectViolations, "the same with KVM's own accesses")
            row(.emulationFailures, "emulation failures")
            return Terminal.lines(table) + ["", verdict]
        }
        row(.spuriousExits, "spurious MMIO exits")
        row(.emulationFailures, "emulation failures")
        row(.lostIncrements, "lost increments")
        if options.spaces == 2 {
            row(.managementRounds, "rounds in SMM")
            row(.staleTags, "tags below the one before")
        }
        row(.lostDirtyPages, "lost dirty pages of \(report.counts[.dirtyPages])")
        if options.memory != .small {
            row(.hugeKiB, "KiB of 8192 in huge pages of the host")
            row(.hugeMappings, "mappings of 2 MiB by KVM at most")
            row(.hugeFalls, "times that they became fewer")
        }
        if options.observer != .none {
            row(.diskRequests, "requests of the disk")
            row(.ringStops, "stops of its ring")
            row(.wrongBlocks, "wrong blocks")
            row(.lostRequests, "lost requests")
            if report.counts[.lostBackEnds] > 0 { row(.lostBackEnds, "lost back end") }
        }
        let times = report.blackout
        let blackout = times.count == 0 ? [] : ["\(times.count) blackouts: " + times.text, ""]
        return Terminal.lines(table) + [""] + blackout + [verdict]
    }

    private var verdict: String {
        let time = HumanDuration(nanoseconds: report.nanoseconds)
        if report.isClean { return "The guest observed nothing, and nothing is lost. \(time)." }
        let counts = report.counts
        let seen = "\(counts[.transactionsHit]) of \(counts[.transactions]) transactions"
        switch options.mode {
        case .naive: return "The guest observed \(seen): the gate prevents this. \(time)."
        case .atomic:
            return "NOT ATOMIC: the guest observed \(seen), or something is lost. \(time)."
        }
    }

    var json: [UInt8] {
        var writer = JSONWriter()
        let times = report.blackout
        writer.object {
            $0.members(
                report.counts.named([
                    .transactions, .outsideHolds, .spuriousExits, .emulationFailures,
                    .lostIncrements, .lostDirtyPages, .managementRounds, .staleTags, .hugeMappings,
                    .witnessedDeletions, .directViolations, .indirectViolations,
                ]))
            if options.observer != .none {
                $0.members(
                    report.counts.named([
                        .diskRequests, .ringStops, .wrongBlocks, .lostRequests, .lostBackEnds,
                    ]))
            }
            $0.object("blackoutNanoseconds") {
                $0.members([("count", times.count), ("mean", times.mean)] + times.ranks)
            }
        }
        return writer.bytes + [UInt8(ascii: "\n")]
    }
}

extension TortureChange {
    fileprivate var words: String {
        switch self {
        case .split: "split and merge the slot"
        case .merge: "merge and split slots"
        case .resize: "resize two slots"
        case .move: "move the slot and replace it by another"
        case .swap: "swap two slots"
        case .remap: "map the slots to another user address"
        case .romd: "make slots read-only and writable"
        case .delete: "delete a slot and create it again"
        case .mix: "split, merge, resize, move, swap and remap slots"
        }
    }
}
