import ArgumentParser
import Glibc
import MemslotKVM
import MemslotLab
import MemslotTestKit
import Memslots
import Testing

/// Runs a short torture.
private func torture(_ change: (inout TortureOptions) -> Void) throws -> TortureReport {
    var options = try TortureOptions.parse([])
    options.transactions = 200
    change(&options)
    return try Torture(options).run()
}

/// The changes whose arrays all map the same host pages.
private let replacements = TortureChange.allCases.filter { $0 != .delete }

/// Whether the guest of a control run observes something in one of a few attempts. On a busy machine
/// it may have no processor while slots change.
private func isObserved(_ change: (inout TortureOptions) -> Void) throws -> Bool {
    for seed in 1...10 as ClosedRange<UInt64> {
        let report: TortureReport
        do {
            report = try torture { options in
                options.mode = .naive
                options.seed = seed
                change(&options)
            }
        } catch TortureError.stuck {
            // A stuck guest has observed it too.
            return true
        }
        if !report.isClean { return true }
    }
    return false
}

private let hasTwoSpaces: Bool = {
    let backend = try? KVMBackend(system: KVMSystem())
    return (backend?.capabilities.addressSpaces ?? 1) > 1
}()

@Suite(
    "torture of a KVM VM", .serialized,
    .enabled(
        if: KVMSystem.unavailability() == nil,
        "\(KVMSystem.unavailability()?.description ?? "KVM opens")"))
struct KVMTortureTests {
    @Test(
        "a guest observes no transaction and loses nothing",
        arguments: replacements, GuestKind.allCases)
    func atomic(change: TortureChange, guest: GuestKind) throws {
        let report = try torture { options in
            options.change = change
            options.guest = guest
        }
        #expect(report.isClean, "\(report)")
        #expect(report.counts[.transactions] == 200)
        #expect(report.counts[.slotCalls] >= 200)
        #expect(report.counts[.rounds] >= 2)
        let ranks = report.blackout.ranks.map(\.value)
        #expect(report.blackout.count > 0 && ranks.allSatisfy { $0 > 0 } && ranks == ranks.sorted())
        #expect(report.counts[.dirtyPages] > 0 || change == .romd)
    }

    @Test("a guest observes nothing of creates before a hold and deletes after it")
    func continuity() throws {
        let report = try torture { $0.continuity = true }
        #expect(report.isClean, "\(report)")
        #expect(report.counts[.outsideHolds] > 50)
        #expect(report.counts[.dirtyPages] > 0)
    }

    @Test("a deletion alone runs beside witnesses, which lose the slot at one instant")
    func delete() throws {
        let report = try torture { options in
            options.change = .delete
            options.vcpus = 3
        }
        #expect(report.isClean, "\(report)")
        #expect(report.counts[.witnessedDeletions] == 200)
    }

    @Test("two deletions beside witnesses are seen one after the other")
    func deleteTwo() throws {
        for _ in 0..<10 {
            let report = try torture { options in
                options.change = .delete
                options.vcpus = 3
                options.mode = .naive
            }
            if report.counts[.directViolations] > 0 { return }
        }
        Issue.record("no witness of 2,000 pairs of deletions saw one before the other")
    }

    @Test("nor if its code is in the region", arguments: GuestKind.allCases)
    func codeInRegion(guest: GuestKind) throws {
        let report = try torture { options in
            options.guest = guest
            options.codeInRegion = true
        }
        #expect(report.isClean, "\(report)")
    }

    @Test(
        "nor with any kind of dirty log",
        arguments: TortureDirtyLog.allCases, GuestKind.allCases)
    func dirtyLog(mode: TortureDirtyLog, guest: GuestKind) throws {
        let report = try torture { options in
            options.dirtyLog = mode
            options.guest = guest
        }
        #expect(report.isClean, "\(report)")
        #expect(report.counts[.dirtyPages] > 0)
    }

    @Test(
        "nor does a disk of vhost-user, whose memory moves beside requests in flight",
        .enabled(
            if: access("/usr/bin/qemu-storage-daemon", X_OK) == 0,
            "qemu-storage-daemon is not installed"),
        arguments: [TortureChange.mix, .romd, .move])
    func observer(change: TortureChange) throws {
        let report = try torture { options in
            options.change = change
            options.observer = .vhostUser
            options.transactions = 60
        }
        #expect(report.isClean, "\(report)")
        #expect(
            report.counts[.diskRequests] >= 120 && report.counts[.ringStops] > 20, "\(report)")
        #expect(report.counts[.wrongBlocks] == 0 && report.counts[.lostRequests] == 0)
    }

    @Test(
        "nor in system management mode, which has slots of its own",
        .enabled(if: hasTwoSpaces, "this KVM has one address space"),
        arguments: TortureDirtyLog.allCases, GuestKind.allCases)
    func spaces(mode: TortureDirtyLog, guest: GuestKind) throws {
        let report = try torture { options in
            options.spaces = 2
            options.dirtyLog = mode
            options.guest = guest
            options.transactions = 100
        }
        #expect(report.isClean, "\(report)")
        #expect(report.counts[.managementRounds] >= 100 && report.counts[.dirtyPages] > 0)
    }

    @Test(
        "without the gate it finds one address space changed and the other not",
        .enabled(if: hasTwoSpaces, "this KVM has one address space"))
    func naiveSpaces() throws {
        for seed in 1...10 as ClosedRange<UInt64> {
            let report = try torture { options in
                options.spaces = 2
                options.mode = .naive
                options.seed = seed
            }
            if report.counts[.staleTags] > 0 { return }
        }
        Issue.record("no tag of 2,000 changes of both address spaces was below the one before")
    }

    @Test(
        "a second address space that KVM lacks is named",
        .enabled(if: !hasTwoSpaces, "this KVM has two address spaces"))
    func oneSpace() {
        #expect {
            try torture { $0.spaces = 2 }
        } throws: { error in
            guard case TortureError.unavailable(let what) = error else { return false }
            return what.contains("KVM_CAP_MULTI_ADDRESS_SPACE")
        }
    }

    @Test(
        "nor in huge pages, which KVM splits and makes again",
        arguments: [GuestMemoryKind.thp, .hugetlb], TortureDirtyLog.allCases)
    func hugePages(memory: GuestMemoryKind, mode: TortureDirtyLog) throws {
        if memory == .hugetlb, (try? GuestMemory(size: 0x80_0000, kind: memory)) == nil {
            try Test.cancel("this host has no 4 free huge pages")
        }
        let report = try torture { options in
            options.memory = memory
            options.dirtyLog = mode
            options.guest = .long
        }
        #expect(report.isClean, "\(report)")
        let counts = report.counts
        #expect(counts[.hugeKiB] == 8_192 || memory == .thp)
        #expect(
            counts[.hugeKiB] < 8_192 || counts[.hugeMappings] > 0 && counts[.hugeFalls] > 0,
            "\(report)")
    }

    @Test("nor as one of many vCPUs")
    func manyVCPUs() throws {
        let report = try torture { options in
            options.vcpus = 6
            options.transactions = 50
        }
        #expect(report.isClean, "\(report)")
    }

    @Test(
        "without the gate it does", arguments: replacements, GuestKind.allCases)
    func naive(change: TortureChange, guest: GuestKind) throws {
        #expect(
            try isObserved { options in
                options.change = change
                options.guest = guest
                options.vcpus = 1
            })
    }
}

@Suite("torture of a simulated VM", .serialized)
struct SimulatedTortureTests {
    @Test("no access and no read observes an intermediate state", arguments: replacements)
    func atomic(change: TortureChange) throws {
        for mode in [TortureDirtyLog.cleared, .manual, .initiallySet] {
            let report = try torture { options in
                options.backend = .simulated
                options.change = change
                options.dirtyLog = mode
                options.transactions = 100
            }
            #expect(report.isClean, "\(report)")
            #expect(report.counts[.transactions] == 100)
            #expect(report.counts[.dirtyPages] > 0 || change == .romd)
        }
    }

    @Test("without the gate they do", arguments: replacements)
    func naive(change: TortureChange) throws {
        #expect(
            try isObserved { options in
                options.backend = .simulated
                options.change = change
            })
    }

    @Test("invalid options are refused")
    func options() {
        func refused(_ change: (inout TortureOptions) -> Void) -> Bool {
            do {
                _ = try torture { options in
                    options.backend = .simulated
                    options.transactions = 0
                    change(&options)
                }
                return false
            } catch {
                return error is TortureError
            }
        }
        #expect(!refused { $0.vcpus = 1 })
        #expect(refused { $0.vcpus = 0 })
        #expect(refused { $0.vcpus = 65 })
        #expect(refused { $0.transactions = -1 })
        #expect(refused { $0.codeInRegion = true })
        #expect(refused { $0.dirtyLog = .ring })
        #expect(refused { $0.observer = .vhostUser })
        #expect(refused { $0.spaces = 2 })
        #expect(refused { $0.memory = .thp })
        for change in [TortureChange.romd, .delete] {
            #expect(
                refused {
                    ($0.backend, $0.spaces, $0.change, $0.vcpus) = (.kvm, 2, change, 3)
                })
        }
        #expect(refused { ($0.backend, $0.spaces, $0.vcpus) = (.kvm, 2, 9) })
        #expect(refused { ($0.backend, $0.spaces) = (.kvm, 3) })
        #expect(refused { ($0.backend, $0.spaces, $0.memory) = (.kvm, 2, .thp) })
    }
}
