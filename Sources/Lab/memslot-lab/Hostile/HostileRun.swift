import Dispatch
import Glibc
import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotService
import MemslotTestKit

/// A run of `memslot-lab hostile`: a hostile user, a model of what it may hold, and a good client.
struct HostileRun: ~Copyable {
    static let descriptorMargin = 16
    static let threadMargin = 16
    /// What the C library keeps of freed memory, and what this process's figures lag behind.
    static let memoryMargin = 96 << 20
    /// How many times as long as alone a round trip of the good client may take.
    static let slowness: UInt64 = 100
    /// One where the good client, and its VM, are of the hostile user.
    private static var shared: Int { hostileUser == geteuid() ? 1 : 0 }
    static var hostileUser: UInt32 { geteuid() == 0 ? 65_534 : geteuid() }

    /// A connection of the hostile user whose replies nobody reads.
    private struct Silent {
        let socket: Int32
        var subscribes = false
        /// It has asked for replies that take much memory.
        var isOwed = false
    }

    private(set) var steps = 0
    private var random: SeededRandom
    private let path: SocketPath
    private let process: pid_t
    private let before: ProcessHoldings
    private let limits: [String: Int]
    private var good: ClientConnection
    private let alone: UInt64
    private var times: [UInt64] = []
    /// Reads all its replies, so that the model knows what the user has.
    private var monitor: ClientConnection
    private var silent: [Silent] = []
    private var slots: [String: Int] = [:]
    private var memories: [String: Int] = [:]
    private var refusals: [String: Int] = [:]
    /// Descriptors that were passed, and linger until these go. Their connections count until then.
    private var lingering: [LingeringSocket] = []
    private var lastName = 0
    private var peakMemory = 0

    /// Measures the good client alone, and connects as the hostile user.
    static func begin(
        seed: UInt64, _ path: SocketPath, _ process: pid_t, _ good: consuming ClientConnection
    ) throws(TargetLost) -> HostileRun {
        _ = try call(&good, .vmCreate, #"{"vm":"good","backend":"simulated"}"#)
        var trips: [UInt64] = []
        for _ in 0..<400 { trips.append(try roundTrip(&good)) }
        var monitor = try asHostile { () throws(TargetLost) in try ClientConnection(path) }
        let info = try call(&monitor, .serverInfo, nil)["limits"]
        let limits = info?.members.map { ($0.name, Int($0.value.uint64 ?? 0)) } ?? []
        guard let usage = ProcessHoldings(of: process) else {
            throw TargetLost("no /proc/\(process)")
        }
        return HostileRun(
            seed, path, process, before: usage, Dictionary(uniqueKeysWithValues: limits), good,
            alone: median(trips), monitor)
    }

    private init(
        _ seed: UInt64, _ path: SocketPath, _ process: pid_t, before: ProcessHoldings,
        _ limits: [String: Int], _ good: consuming ClientConnection, alone: UInt64,
        _ monitor: consuming ClientConnection
    ) {
        random = SeededRandom(seed: seed)
        (self.path, self.process, self.before, self.limits) = (path, process, before, limits)
        self.alone = alone
        self.good = good
        self.monitor = monitor
    }

    deinit { for peer in silent { close(peer.socket) } }

    var summary: String {
        let refused = refusals.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        return """
            \(steps) steps; at most \(HumanSize(bytes: UInt64(peakMemory))) of anonymous memory; \
            refused: \(refused.isEmpty ? "nothing" : refused.joined(separator: ", "))
            a round trip of the good client: \(HumanDuration(nanoseconds: Self.median(times))), \
            alone \(HumanDuration(nanoseconds: alone))
            """
    }

    /// Does something hostile, and checks what the daemon holds.
    mutating func step() throws(TargetLost) {
        steps += 1
        switch random.draw(0...13) {
        case 0, 1: try connect(random.draw(1...24)) { _ in [] }
        case 2:
            let length = random.draw(1...16) << random.draw(4...20)
            try connect(random.draw(1...4)) { _ in
                Array("{\"id\":1,\"x\":\"".utf8) + [UInt8](repeating: 120, count: length)
            }
        // Replies that wait hold up the model's own connection, once they fill the user's share.
        case 3 where silent.count(where: \.isOwed) < 4:
            let name = slots.keys.sorted().randomElement(using: &random) ?? "none"
            let line = #"{"id":1,"method":"memslots.get","params":{"vm":"\#(name)"}}"# + "\n"
            let lines = [UInt8](String(repeating: line, count: random.draw(1...64)).utf8)
            try connect(1, isOwed: true) { _ in lines }
        case 4 where silent.count(where: \.subscribes) < 3: try follow()
        case 5, 6: try submit()
        case 7: try touch()
        case 8: try createMemory()
        case 9: try destroy()
        case 10: try passDescriptors()
        case 11: try sendGarbage()
        default: disconnect(random.draw(1...32))
        }
        for _ in 0..<8 { times.append(try Self.roundTrip(&good)) }
        try check()
    }

    /// Ends everything that the user has, and checks that nothing is left.
    mutating func finish() throws(TargetLost) {
        disconnect(silent.count)
        lingering = []
        for name in slots.keys.sorted() {
            _ = try ask(.vmDestroy, #"{"vm":"\#(name)"}"#)
        }
        (slots, memories) = ([:], [:])
        try check()
        let slow = Self.median(times)
        guard slow <= alone * Self.slowness else {
            throw TargetLost("a round trip of the good client takes \(slow) ns, alone \(alone)")
        }
    }
}

// MARK: - What it does
extension HostileRun {
    /// Opens connections that send what `text` returns, and never read.
    private mutating func connect(
        _ count: Int, subscribes: Bool = false, isOwed: Bool = false, _ text: (Int) -> [UInt8]
    ) throws(TargetLost) {
        let most = limits["connectionsPerPeer", default: 0] - 8
        for index in 0..<count where silent.count + lingering.count < most {
            let socket = try Self.asHostile { () throws(TargetLost) in try Self.socket(path) }
            silent.append(Silent(socket: socket, subscribes: subscribes, isOwed: isOwed))
            Self.send(text(index), to: socket)
        }
    }

    private mutating func follow() throws(TargetLost) {
        let line = [UInt8]("{\"id\":1,\"method\":\"events.subscribe\"}\n".utf8)
        try connect(1, subscribes: true) { _ in line }
    }

    private mutating func submit() throws(TargetLost) {
        let name = try vm()
        let count = random.draw(0...2_000)
        let base = random.draw(0...1) << 12
        let array = (0..<count).map {
            #"{"guestPhysicalAddress":\#($0 << 31 + base),"size":\#(1 << 30),"#
                + #""userspaceAddress":\#(65_536 + $0 << 31),"flags":["log-dirty-pages"]}"#
        }.joined(separator: ",")
        let reply = try ask(.memslotsSubmit, #"{"vm":"\#(name)","slots":[\#(array)]}"#)
        if reply["result"] != nil { slots[name] = count }
    }

    private mutating func touch() throws(TargetLost) {
        let name = try vm()
        for _ in 0..<random.draw(1...64) {
            let page = random.draw(0...(1 << 18) - 200)
            let slot = random.draw(0...max(slots[name, default: 1] - 1, 0))
            _ = try ask(
                .guestTouch,
                #"{"vm":"\#(name)","size":400000,"#
                    + #""guestPhysicalAddress":\#(slot << 31 + (page + 1) << 12)}"#)
        }
        _ = try ask(
            .dirtylogGet, #"{"vm":"\#(name)","slot":0,"clear":\#(random.once(in: 2))}"#)
    }

    private mutating func createMemory() throws(TargetLost) {
        let name = try vm()
        for _ in 0..<random.draw(1...16) {
            lastName += 1
            let reply = try ask(
                .memoryCreate,
                #"{"vm":"\#(name)","memory":"m\#(lastName)","size":4096,"backing":"memfd"}"#)
            if reply["result"] != nil { memories[name, default: 0] += 1 }
        }
    }

    private mutating func destroy() throws(TargetLost) {
        guard let name = slots.keys.sorted().randomElement(using: &random) else { return }
        _ = try ask(.vmDestroy, #"{"vm":"\#(name)"}"#)
        (slots[name], memories[name]) = (nil, nil)
    }

    /// Sends TCP sockets with unsent bytes, which linger when they are closed.
    private mutating func passDescriptors() throws(TargetLost) {
        for _ in 0..<random.draw(1...3) where lingering.count < 16 {
            guard let socket = LingeringSocket() else { return }
            // It goes at once, in the middle.
            let client = try Self.asHostile { () throws(TargetLost) in try ClientConnection(path) }
            // Stopped until this process has closed its own copy: the last one to close waits.
            kill(process, SIGSTOP)
            defer { kill(process, SIGCONT) }
            try client.send(
                [UInt8]("{\"id\":1,\"method\":\"vm.list\"}\n".utf8),
                descriptors: [socket.descriptor])
            socket.closeOwn()
            lingering.append(socket)
        }
    }

    private mutating func sendGarbage() throws(TargetLost) {
        let count = random.draw(1...100_000)
        let kinds = ["1,", "[],", "{},", "\"\\u0000\",", "[[[1]]],"]
        let text = "[" + String(repeating: kinds[random.draw(0...4)], count: count) + "1]\n"
        // Reads the reply: a batch reserves most of the user's share, and the model's own connection
        // would wait behind it. Not for long: it may itself wait behind replies that nobody reads.
        let socket = try Self.asHostile { () throws(TargetLost) in try Self.socket(path) }
        defer { close(socket) }
        var patience = timeval(tv_sec: 2, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            let size = socklen_t(MemoryLayout<timeval>.size)
            setsockopt(socket, SOL_SOCKET, option, &patience, size)
        }
        _ = fcntl(socket, F_SETFL, 0)
        _ = Glibc.send(socket, text, text.utf8.count, Int32(MSG_NOSIGNAL))
        var reply = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let received = recv(socket, &reply, reply.count, 0)
            guard received > 0, reply[received - 1] != UInt8(ascii: "\n") else { break }
        }
    }

    /// Ends connections, whatever they are in the middle of.
    private mutating func disconnect(_ count: Int) {
        for _ in 0..<min(count, silent.count) {
            close(silent.remove(at: random.draw(0...silent.count - 1)).socket)
        }
        if !lingering.isEmpty { lingering.removeFirst() }
    }

    /// The name of a VM, sometimes a new one.
    private mutating func vm() throws(TargetLost) -> String {
        let old = slots.keys.sorted().randomElement(using: &random)
        if let old, slots.count > 3, !random.once(in: 4) { return old }
        lastName += 1
        let name = "v\(lastName)"
        let reply = try ask(.vmCreate, #"{"vm":"\#(name)","backend":"simulated"}"#)
        if reply["result"] != nil { slots[name] = 0 }
        return name
    }
}

// MARK: - What it checks
extension HostileRun {
    /// Compares what the daemon reports with the model and with the kernel, once it is at rest.
    private mutating func check() throws(TargetLost) {
        var difference: String?
        for attempt in 0..<1_000 {
            difference = try self.difference()
            if difference == nil { return }
            // The daemon sees that an abandoned connection is gone when the next one comes.
            if attempt % 50 == 49 {
                close(try Self.asHostile { () throws(TargetLost) in try Self.socket(path) })
            }
            usleep(attempt < 100 ? 2_000 : 20_000)
        }
        throw TargetLost(difference ?? "")
    }

    private mutating func difference() throws(TargetLost) -> String? {
        let gauges = try Self.call(&monitor, .metricsGet, nil)["gauges"]
        func held(_ name: String) -> Int { Int(gauges?[name]?.uint64 ?? 0) }
        func limit(_ name: String) -> Int { limits[name, default: 0] }
        guard let usage = ProcessHoldings(of: process) else {
            throw TargetLost("the daemon has ended")
        }
        peakMemory = max(peakMemory, usage.anonymous)
        if usage.anonymous > limit("memoryLimit") {
            throw TargetLost("\(usage.anonymous) bytes of anonymous memory")
        }
        let known = [
            ("vms", slots.count + Self.shared), ("slots", slots.values.reduce(0, +)),
            ("memories", memories.values.reduce(0, +)),
        ]
        for (name, count) in known where held(name) != count {
            return "\(name): \(held(name)) are reported, \(count) are the user's"
        }
        // A connection that was refused is the peer's to close.
        let most = silent.count + 1 + Self.shared + lingering.count
        guard (1...most).contains(held("connections")) else {
            return "\(held("connections")) connections are reported, the user has at most \(most)"
        }
        guard held("subscriptions") <= silent.count(where: \.subscribes) else {
            return "\(held("subscriptions")) subscriptions of \(silent.count(where: \.subscribes))"
        }
        // A receiver of descriptors has two, a lingering connection one.
        let files = held("connections") + held("memories") + held("passedDescriptors")
        let least = before.descriptors + files - Self.descriptorMargin
        let more = 2 * lingering.count + 2 * Self.descriptorMargin
        guard (least...least + more).contains(usage.descriptors) else {
            return "\(usage.descriptors) descriptors, expected \(least) to \(least + more)"
        }
        let threads = before.threads + held("threads")
        guard usage.threads <= threads + Self.threadMargin else {
            return "\(usage.threads) threads, expected \(threads)"
        }
        let counted = [
            ("connections", "connectionBytes"), ("threads", "threadBytes"), ("vms", "vmBytes"),
            ("slots", "slotBytes"), ("memories", "memoryObjectBytes"),
            ("subscriptions", "subscriptionBytes"),
        ].reduce(0) { $0 + held($1.0) * limit($1.1) }
        let budgets = [
            "requestBytes", "unreadReplyBytes", "receiptBytes", "eventBytes", "dirtyBytes",
        ].reduce(0) { $0 + held($1) }
        guard usage.anonymous <= before.anonymous + counted + budgets + Self.memoryMargin else {
            return "\(usage.anonymous) bytes of anonymous memory, \(counted + budgets) are counted"
        }
        return nil
    }

    private mutating func ask(_ method: Method, _ params: String) throws(TargetLost) -> JSONValue {
        let reply = try monitor.call(method, params: Array(params.utf8)).value
        guard let reply else { throw TargetLost("a reply is not JSON") }
        if let limit = reply["error"]?["data"]?["limit"]?.string {
            refusals[limit, default: 0] += 1
        }
        return reply
    }

    private static func call(
        _ client: inout ClientConnection, _ method: Method, _ params: String?
    ) throws(TargetLost) -> JSONValue {
        let reply = try client.call(method, params: params.map { Array($0.utf8) })
        guard let result = reply.value?["result"] else {
            throw TargetLost(String(decoding: reply.line.prefix(1_000), as: UTF8.self))
        }
        return result
    }

    private static func roundTrip(_ good: inout ClientConnection) throws(TargetLost) -> UInt64 {
        let start = DispatchTime.now().uptimeNanoseconds
        _ = try call(&good, .memslotsGet, #"{"vm":"good"}"#)
        return DispatchTime.now().uptimeNanoseconds - start
    }

    private static func median(_ values: [UInt64]) -> UInt64 {
        values.isEmpty ? 0 : values.sorted()[values.count / 2]
    }
}
