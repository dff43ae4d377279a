import CYardsticks
import Glibc
import MemslotLab
import MemslotPicture
import MemslotProtocol

/// From the bytes of a request to its reply.
enum WireBenchmarks {
    static let steps = [
        BenchmarkStep(name: "small requests", measure: oneByOne),
        BenchmarkStep(name: "pipelined requests", measure: manyAtATime),
        BenchmarkStep(name: "large arrays", measure: large),
    ]

    private static let slotCount = 32_764

    private static let roundTrip = "memslotd, one request in flight"
    private static let echo = "C echo server"
    private static let pipelined = "memslotd, 256 requests in flight"
    private static let echoPipelined = "C echo server, 256 in flight"

    /// One request at a time, with all processes on one processor. On several, C's own round trips
    /// take 9 µs or 45 µs, depending on where the kernel wakes the other side.
    private static func oneByOne(_ effort: Effort) throws -> [BenchmarkRow] {
        // The processes started below inherit it.
        let processors = Processors()
        processors.bind(to: 0)
        defer { processors.unbind() }
        let count = effort(500, quick: 100)
        let contest = try contest(roundTrip, echo, effort) { socket, line in
            var reply = [UInt8](repeating: 0, count: 1 << 12)
            let spans = try (0..<count).map { _ in
                let start = ys_now()
                let got = ys_exchange(socket, line, line.count, &reply, reply.count)
                try require(got >= 0, "a round trip failed: errno \(-got)")
                return Double(ys_now() - start)
            }
            return Spread(spans).median
        }
        return [contest.row(roundTrip, against: echo, target: .ratioAtMost(3))]
    }

    private static func manyAtATime(_ effort: Effort) throws -> [BenchmarkRow] {
        let many = effort(40_000, quick: 4_000)
        let contest = try contest(pipelined, echoPipelined, effort) { socket, line in
            let span = ys_pipelined(socket, line, line.count, many, 256)
            try require(span > 0, "pipelined requests failed: errno \(-span)")
            return Double(many) * 1e9 / Double(span)
        }
        return [
            contest.row(
                pipelined, against: echoPipelined, in: .perSecond, target: .atLeast(150_000))
        ]
    }

    /// Measures `round` with a daemon that translates one address a request, and with an echo server,
    /// whose line is about as long as the reply.
    private static func contest(
        _ project: String, _ yardstick: String, _ effort: Effort,
        _ round: @escaping (_ socket: Int32, _ line: [UInt8]) throws -> Double
    ) throws -> Contest {
        let daemon = try DaemonProcess.ready()
        defer { daemon.end(SIGKILL) }
        let connection = try daemon.connect()
        try connection.request(RequestLine.create(vm: "small"))
        try connection.request(RequestLine.submit(BenchmarkArray.slots(64), to: "small"))
        let line = RequestLine.make(.memslotsTranslate, vm: "small") {
            $0.list("addresses", [0x10_0000]) { $0.address($1) }
        }
        try connection.request(line)
        let server = try EchoServer()
        return try Contest(
            rounds: effort(31, quick: 3),
            Contestant(project) { try round(connection.socket, line) },
            Contestant(yardstick) { try round(server.socket, line) })
    }

    private static func large(_ effort: Effort) throws -> [BenchmarkRow] {
        let daemon = try DaemonProcess.ready()
        let connection = try daemon.connect()
        let slots = BenchmarkArray.slots(slotCount)
        let lines = [slots, BenchmarkArray.changed(slots, 1)].map {
            RequestLine.submit($0, to: "large")
        }
        try connection.request(RequestLine.create(vm: "large"))
        try connection.request(lines[0])
        let get = RequestLine.make(.memslotsGet, vm: "large")
        let echo = try EchoServer()
        var turn = 0
        var buffer = [UInt8](repeating: 0, count: 8 << 20)
        let submit = "submit with one change, bytes to answer"
        let whole = "memslots.get, request to answer"
        let copy = "C echo of as many bytes"
        let contest = try Contest(
            rounds: effort(31, quick: 3),
            Contestant(submit, operations: 1) {
                turn += 1
                try connection.request(lines[turn % 2])
            }, Contestant(whole, operations: 1) { try connection.exchange(get) },
            Contestant(copy, operations: 1) {
                let line = lines[0]
                let count = ys_exchange_large(echo.socket, line, line.count, &buffer, buffer.count)
                try require(count == line.count, "the echo is not whole")
            })
        return [
            contest.row(submit, slots: slotCount, against: copy, target: .ratioAtMost(4)),
            contest.row(whole, slots: slotCount, against: copy),
        ]
    }
}
