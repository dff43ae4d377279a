import MemslotTrace
import Memslots
import Testing

@Suite("Memory that was missing in between")
struct HoleAuditTests {
    private func audit(_ write: (inout LogWriter) -> Void) throws -> HoleAudit {
        var log = LogWriter()
        log.createVM(5)
        log.line(5, "ioctl(9, KVM_CREATE_VCPU, 0) = 13")
        log.set(5, 0, at: 0, size: 0x10000)
        log.set(5, 1, at: 0x10000, size: 0x10000)
        log.run(6)
        log.pause(milliseconds: 100)
        write(&log)
        return try #require(imported(log.text).scenario.transactions.last?.audit)
    }

    @Test("a slot that is split leaves a hole of what both arrays map")
    func split() throws {
        let audit = try audit { log in
            log.set(5, 0, at: 0, size: 0)
            log.microseconds += 99
            log.set(5, 0, at: 0, size: 0x4000)
            log.microseconds += 199
            log.set(5, 2, at: 0x8000, size: 0x8000)
        }
        #expect(audit.missing.rawValue == 0xc000)
        #expect(audit.holes.map(\.atMostNanoseconds) == [300_000, nil])
        #expect(audit.holes.map(\.start.rawValue) == [0, 0x8000])
        // The last call may end at any time: nothing of its thread follows.
        #expect(audit.longestNanoseconds == nil)
        #expect(audit.guest == .notRunning)
    }

    @Test("memory that only comes or only goes is no hole")
    func seamless() throws {
        #expect(try audit { $0.set(5, 0, at: 0, size: 0) }.all == [])
        #expect(try audit { $0.set(5, 2, at: 0x20000, size: 0x1000) }.all == [])
    }

    @Test("memory that is added, removed and added again in one transaction was missing")
    func addedAndReplaced() throws {
        let audit = try audit { log in
            log.set(5, 2, at: 0x20000, size: 0x1000)
            log.set(5, 2, at: 0x20000, size: 0)
            log.set(5, 2, at: 0x20000, size: 0x2000)
        }
        #expect(audit.holes.map(\.size.rawValue) == [0x1000])
    }

    @Test("memory that comes back was missing, also if it goes for good later")
    func gone() throws {
        let audit = try audit { log in
            log.set(5, 0, at: 0, size: 0)
            log.set(5, 0, at: 0, size: 0x10000)
            log.set(5, 0, at: 0, size: 0)
        }
        #expect(audit.holes.map(\.size.rawValue) == [0x10000])
    }

    @Test("memory that is missing twice counts once in bytes, and twice in time")
    func twice() throws {
        let audit = try audit { log in
            log.set(5, 0, at: 0, size: 0)
            log.set(5, 0, at: 0, size: 0x2000)
            log.microseconds += 50
            log.set(5, 0, at: 0, size: 0)
            log.set(5, 0, at: 0, size: 0x4000)
            log.line(5, "ioctl(9, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS) = 32764")
        }
        #expect(audit.missing.rawValue == 0x4000)
        #expect(audit.holes.map(\.size.rawValue) == [0x2000, 0x2000, 0x2000])
        #expect(audit.longestNanoseconds == 54_000)
        #expect(audit.totalNanoseconds == 54_000)
    }

    @Test("holes that overlap in part count once in bytes")
    func overlapping() throws {
        let audit = try audit { log in
            log.set(5, 0, at: 0, size: 0)
            log.set(5, 0, at: 0, size: 0x3000)
            log.set(5, 0, at: 0, size: 0)
            for size in [0x4000, 0, 0x4000] as [UInt64] { log.set(5, 0, at: 0x1000, size: size) }
            log.set(5, 2, at: 0, size: 0x1000)
        }
        #expect(audit.missing.rawValue == 0x5000)
    }

    @Test("a move uncovers what another slot covers later")
    func move() throws {
        let audit = try audit { log in
            log.set(5, 0, at: 0x40000, size: 0x10000, backing: 0x7f00_0000_0000)
            log.set(5, 2, at: 0x1000, size: 0x1000)
        }
        #expect(audit.missing.rawValue == 0x1000)
        #expect(audit.holes.first?.start.rawValue == 0x1000)
    }

    @Test("a vCPU that is inside, or enters, is reported")
    func guest() throws {
        let entered = try audit { log in
            log.set(5, 0, at: 0, size: 0)
            log.run(6)
            log.set(5, 0, at: 0, size: 0x10000)
        }
        #expect(entered.guest == .running)
        let inside = try audit { log in
            log.line(6, "ioctl(13, KVM_RUN <unfinished ...>")
            log.set(5, 0, at: 0, size: 0)
            log.set(5, 0, at: 0, size: 0x10000)
            log.line(6, "<... ioctl resumed>, 0) = 0")
        }
        #expect(inside.guest == .running)
        let left = try audit { log in
            log.line(6, "ioctl(13, KVM_RUN <unfinished ...>")
            log.line(6, "<... ioctl resumed>, 0) = 0")
            log.set(5, 0, at: 0, size: 0)
            log.set(5, 0, at: 0, size: 0x10000)
        }
        #expect(left.guest == .notRunning)
    }

    @Test("condensed lines record that a vCPU returned, not that none was inside")
    func condensed() throws {
        let running = try audit { log in
            log.set(5, 0, at: 0, size: 0)
            log.text += "# KVM_RUN tid=6 returns=3 first=1.0 last=2.0\n"
            log.set(5, 0, at: 0, size: 0x10000)
        }
        #expect(running.guest == .running)
        let unknown = try audit { log in
            log.text += "# KVM_RUN tid=6 returns=3 first=1.0 last=2.0\n"
            log.set(5, 0, at: 0, size: 0)
            log.set(5, 0, at: 0, size: 0x10000)
        }
        #expect(unknown.guest == .unknown)
    }

    @Test("another address space's memory is no substitute")
    func spaces() throws {
        let audit = try audit { log in
            log.set(5, 0, at: 0, size: 0)
            log.set(5, 0x1_0000, at: 0, size: 0x10000)
        }
        #expect(audit.isSeamless)
    }

    @Test("each byte over time agrees with a model that reads every page", arguments: 0..<40)
    func model(seed: UInt64) throws {
        var random = Random(state: seed &+ 1)
        var log = LogWriter()
        log.createVM(5)
        var slots: [Int: Range<UInt64>] = [:]
        func mapped() -> Set<UInt64> { Set(slots.values.flatMap { Array($0) }) }
        // The pages that were mapped and are not, and how many pages came back at each call.
        var absent: Set<UInt64> = []
        var wanted: [Int: Int] = [:]
        var line = 1
        for _ in 0..<80 {
            if random.next(4) == 0 { log.pause(milliseconds: 20) }
            let before = mapped()
            let id = Int(random.next(5))
            if let range = slots.removeValue(forKey: id) {
                log.set(5, id, at: range.lowerBound * 4096, size: 0)
            } else {
                let start = random.next(24)
                let range = start..<(start + 1 + random.next(8))
                guard slots.values.allSatisfy({ !$0.overlaps(range) }) else { continue }
                slots[id] = range
                log.set(
                    5, id, at: range.lowerBound * 4096, size: UInt64(range.count) * 4096)
            }
            line += 1
            let after = mapped()
            let back = absent.intersection(after).count
            if back > 0 { wanted[line] = back }
            absent = absent.union(before).subtracting(after)
        }
        let result = try imported(log.text)
        let counts = Dictionary(grouping: result.report.absences, by: \.returnedOnLine)
            .mapValues { Int($0.reduce(0) { $0 + $1.size.pageCount }) }
        #expect(counts == wanted)
        #expect(result.report.removedBytes == UInt64(absent.count) * 4096)
        #expect(result.report.surprises == [])
    }
}

/// A small generator of numbers, the same on every host.
struct Random {
    var state: UInt64

    mutating func next(_ bound: UInt64) -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 33) % bound
    }
}
