import MemslotSimulator
import MemslotTestKit
import Memslots

/// The machine that a seed draws, before anything happens.
struct MachineShape {
    let spaces: Int
    let hooks: Int
    let dirtyLogProtection: DirtyLogProtection
    let actors: [String]

    /// Guest pages in which slots lie.
    static let universe = 16
    /// Slot ids of an address space.
    static let ids = 5
    /// Pages of the one mapping behind all slots; few, so that slots alias.
    static let hostPages = 8
    /// Pages of the largest slot.
    static let largest = 4
    /// Where the mapping lies. Nothing is there: a simulator doesn't look.
    static let memory = UserspaceAddress(0x7f00_0000_0000)

    init(seed: UInt64) {
        var random = SeededRandom(seed: seed, "shape")
        spaces = random.draw(1...2)
        hooks = random.draw(0...2)
        dirtyLogProtection =
            random.once(in: 4) ? .manual : random.once(in: 4) ? .manualInitiallySet : .automatic
        let counts = [
            ("client", random.draw(1...3)), ("wire", random.draw(1...2)),
            ("vcpu", random.draw(1...3)), ("reader", random.draw(1...2)),
            ("fast", random.draw(1...2)),
            ("dirty", 1), ("faults", 1), ("subscriber", random.draw(1...2)), ("witness", 1),
            ("operator", 1),
        ]
        actors = counts.flatMap { name, count in (0..<count).map { "\(name)-\($0)" } }
    }
}
