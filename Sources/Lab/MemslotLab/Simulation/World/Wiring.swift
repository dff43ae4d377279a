package import MemslotSimulator
package import Memslots

/// The parts that a simulation is put together of, for tests that put a broken one in.
///
/// A simulation that finds nothing proves something only if it would find what is there.
package struct Wiring {
    /// What carries the calls out for the table, given the machine that really has them.
    package var backend: (SimulatedBackend) -> any MemslotBackend = { $0 }
    /// What holds vCPUs out for the table, given the gate that they enter through.
    package var hold: (VCPUGate) -> any VCPUHold = { $0 }
    /// What stands between the table and a hook.
    package var hook: (any MemslotHook) -> any MemslotHook = { $0 }
    /// How readers read.
    package var reader: any ReadingWay = GatedReader()
    /// What a subscriber finds in its queue.
    package var delivery: ([[UInt8]]) -> [[UInt8]] = { $0 }
    /// What the table tells of a transaction, for those who are told by the world.
    package var receipt: (Receipt) -> Receipt = { $0 }

    /// The product as it is.
    package init() {}
}

/// A way to read the table.
package protocol ReadingWay: Sendable {
    /// Runs `body` with what the table is.
    func read(_ table: MemslotTable, as name: String, _ body: (TableSnapshot) -> Void)
}

/// Reads through the array's gate and queue.
package struct GatedReader: ReadingWay {
    package init() {}

    package func read(
        _ table: MemslotTable, as name: String, _ body: (TableSnapshot) -> Void
    ) {
        table.read(as: name, body)
    }
}
