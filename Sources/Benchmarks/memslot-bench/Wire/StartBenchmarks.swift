import CYardsticks
import Glibc
import MemslotLab
import MemslotPicture
import MemslotProtocol

/// How soon the programs are ready, and how much memory the daemon uses.
enum StartBenchmarks {
    static let steps = [
        BenchmarkStep(name: "starting", measure: starting),
        BenchmarkStep(name: "memory", measure: memory),
    ]

    private static func starting(_ effort: Effort) throws -> [BenchmarkRow] {
        let control = try builtProgram("memslotctl")
        let daemon = "memslotd, exec to listening"
        let help = "memslotctl --help, exec to end"
        let nothing = "/bin/true, exec to end"
        let contest = try Contest(
            rounds: effort(31, quick: 3),
            Contestant(daemon) { Double(try DaemonProcess.ready().startTime) },
            Contestant(help) { try run(control, ["--help"]) },
            Contestant(nothing) { try run("/bin/true", []) })
        return [
            contest.row(daemon, against: nothing, target: .atMost(50e6)),
            contest.row(help, against: nothing, target: .atMost(50e6)),
        ]
    }

    /// Runs a program to its end; returns the nanoseconds.
    private static func run(_ path: String, _ words: [String]) throws -> Double {
        let start = ys_now()
        let process = try BuiltProgram.start([path] + words, output: "/dev/null")
        try require(BuiltProgram.wait(for: process), "\(path) fails")
        return Double(ys_now() - start)
    }

    private static func memory(_ effort: Effort) throws -> [BenchmarkRow] {
        let slots = BenchmarkArray.slots(32_764)
        let lines = [
            RequestLine.submit(slots, to: "large"),
            RequestLine.submit(BenchmarkArray.changed(slots, 1), to: "large"),
            RequestLine.make(.memslotsGet, vm: "large"),
        ]
        var figures: [[Double]] = [[], [], [], []]
        for _ in 0..<effort(5, quick: 1) {
            let daemon = try DaemonProcess.ready()
            figures[0].append(Double(try daemon.usage().memory))
            let connection = try daemon.connect()
            try connection.request(RequestLine.create(vm: "large"))
            try connection.request(lines[0])
            // As a VMM does: changed several times, then read.
            for turn in 0..<10 { try connection.request(lines[(turn + 1) % 2]) }
            _ = try connection.exchange(lines[2])
            let usage = try daemon.usage()
            figures[1].append(Double(usage.memory))
            figures[2].append(Double(usage.highestMemory))
            // An idle daemon returns the memory of large requests.
            usleep(300_000)
            figures[3].append(Double(try daemon.usage().memory))
        }
        func row(_ name: String, _ index: Int, _ target: BenchmarkTarget?) -> BenchmarkRow {
            BenchmarkRow(name: name, unit: .bytes, measured: Spread(figures[index]), target: target)
        }
        return [
            row("memslotd without a VM, resident", 0, nil),
            row("memslotd with 32,764 slots, right after requests", 1, .atMost(64e6)),
            row("memslotd with 32,764 slots, a moment later", 3, .atMost(64e6)),
            row("memslotd with 32,764 slots, at its highest", 2, .atMost(45 * 1_048_576)),
        ]
    }
}
