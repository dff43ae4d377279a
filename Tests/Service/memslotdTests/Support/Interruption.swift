import Foundation
import MemslotService
import TestSupport
import WireTestSupport

extension DaemonProcess {
    /// Starts the daemon with a state directory in `directory`.
    convenience init(
        stateIn directory: ScratchDirectory, arguments: [String] = [],
        environment: [String: String] = [:], shell: String = "",
        stored: [(name: String, descriptor: Int32)] = []
    ) throws {
        try self.init(
            in: directory, arguments: ["--state-dir", directory.state] + arguments,
            environment: environment, shell: shell, stored: stored)
    }
}

/// The library that interrupts a daemon.
enum Interruption {
    static let library = Shim.interrupt

    /// The environment that interrupts a daemon.
    static func environment(_ variables: [String: String]) -> [String: String] {
        var all = ["LD_PRELOAD": library ?? "/nonexistent"]
        for (name, value) in variables { all["INTERRUPT_\(name)"] = value }
        return all
    }
}
