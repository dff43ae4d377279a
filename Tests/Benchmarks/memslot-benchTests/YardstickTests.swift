import CYardsticks
import Memslots
import Testing

@testable import memslot_bench

@Suite("Yardsticks")
struct YardstickTests {
    @Test(
        "every search translates as a plain loop does", arguments: [1, 2, 15, 16, 17, 300, 4_200])
    func searches(_ count: Int) throws {
        let slots = BenchmarkArray.slots(count)
        let table = try YardstickTable(slots)
        for pattern in AddressPattern.allCases {
            let addresses = pattern.addresses(200, in: slots)
            let expected = addresses.reduce(UInt64(0)) { sum, address in
                let slot = slots.last { $0.guestPhysicalAddress.rawValue <= address }
                let start = slot?.guestPhysicalAddress.rawValue ?? 0
                return sum &+ (slot?.userspaceAddress.rawValue ?? 0) &+ (address - start)
            }
            for (name, search) in YardstickTable.searches {
                for order in AddressOrdering.allCases {
                    let sum = table.sum(search, addresses, order)
                    #expect(sum == expected, "\(name), \(pattern), \(order)")
                }
            }
        }
    }

    @Test("addresses in gaps and beyond the ends are translated to 0")
    func holes() throws {
        let slots = BenchmarkArray.slots(40)
        let table = try YardstickTable(slots)
        let holes = slots.map(\.guestPhysicalEnd.rawValue) + [0, .max]
        for (name, search) in YardstickTable.searches {
            #expect(table.sum(search, holes, .known) == 0, "\(name)")
        }
    }

    @Test("the project's lookups translate as the yardsticks do")
    func projectLookups() throws {
        let slots = BenchmarkArray.slots(500)
        let yardsticks = try YardstickTable(slots)
        let table = try LookupBenchmarks.opened(slots)
        let addresses = AddressPattern.random.addresses(500, in: slots)
        for lookup in ProjectLookup.all {
            for order in AddressOrdering.allCases {
                let sum = addresses.withUnsafeBufferPointer { lookup.sum(table, $0, order) }
                #expect(sum == yardsticks.expected(addresses), "\(lookup.name), \(order)")
            }
        }
    }

    @Test("each scenario has the changes of its name, and both sides find them")
    func scenarios() throws {
        let slots = BenchmarkArray.slots(1_000)
        var found: [DiffScenario: Int] = [:]
        for scenario in DiffScenario.allCases {
            let c = YardstickDiff(
                from: slots, to: scenario.array(slots), isSorted: scenario != .unsorted)
            try c.validateAndMerge()
            let kinds = [YS_ADDED, YS_REMOVED, YS_MOVED, YS_REFLAGGED, YS_REPLACED]
            found[scenario] = kinds.reduce(0) { $0 + c.count($1) }
            let table = try LookupBenchmarks.opened(slots)
            let diff = try table.plan(scenario.array(slots)).diff
            #expect(diff.moved.count == c.count(YS_MOVED))
            #expect(diff.added.count == c.count(YS_REPLACED) + c.count(YS_ADDED))
        }
        #expect(found[.identical] == 0)
        #expect(found[.one] == 1)
        #expect(found[.percent] == 10)
        #expect(found[.unsorted] == 10)
        #expect(found[.all] == 1_000)
    }

    @Test("the yardstick's validation finds an overlap, a duplicate id and a bad address")
    func validation() {
        func faults(_ change: (inout [Memslot]) -> Void) -> UInt64 {
            var slots = BenchmarkArray.slots(5_000)
            change(&slots)
            let form = slots.map(ys_slot.init)
            var scratch = [UInt64](repeating: 0, count: 2 * form.count + (1 << 20) / 64 + 2_048)
            return ys_validate(form, form.count, &scratch)
        }
        let none = faults { _ in }
        let reversed = faults { $0.reverse() }
        let twice = faults { $0[7].id = $0[6].id }
        let overlap = faults { $0[7].guestPhysicalAddress = $0[6].guestPhysicalAddress }
        let unaligned = faults { $0[7].userspaceAddress = UserspaceAddress(1) }
        #expect(none == 0)
        #expect(reversed == 0)
        #expect(twice == 1)
        #expect(overlap == 1)
        #expect(unaligned == 1)
    }
}
