import MemslotProtocol
import MemslotService
import Testing
import WireTestSupport

@Suite("metrics")
struct MetricsTests {
    let service = MemslotService()

    @Test("requests and transactions are counted for the user and for each VM")
    func counters() throws {
        let client = WireClient(service, queue: 8)
        try client.createVM("a")
        try client.createVM("b")
        try client.call("events.subscribe", "{\"vm\":\"a\"}")
        try client.submit("a", page(0, at: "0x0") + "," + page(1, at: "0x1000"))
        try client.submit("a", page(0, at: "0x0") + "," + page(1, at: "0x1000"))
        try client.submit("a", page(0, at: "0x1"))
        try client.submit("a", "", ",\"expectedGeneration\":7")
        try client.call("fault.inject", "{\"vm\":\"a\",\"operation\":0,\"errno\":\"EIO\"}")
        try client.submit("a", "")
        try client.submit("b", page(0, at: "0x0"))
        let result = try #require(try client.call("metrics.get").result)
        let counters = try #require(result["counters"])
        let wanted = [
            "commits": 2, "unchanged": 1, "invalid": 1, "conflicts": 1, "rollbacks": 1,
            "operations": 3, "errors": 3, "requests": 11, "events": 2, "failures": 0,
        ]
        for (name, value) in wanted { #expect(counters[name]?.int == value, "\(name)") }
        let vms = try #require(result["vms"]).list
        #expect(vms.map { $0["vm"]?.string } == ["a", "b"])
        #expect(vms[0]["counters"]?["rollbacks"]?.int == 1)
        #expect(vms[1]["counters"]?["commits"]?.int == 1)
        #expect(vms[1]["counters"]?["invalid"]?.int == 0)
        #expect(result["gauges"]?["slots"]?.int == 3)
        #expect(result["gauges"]?["vms"]?.int == 2)
    }

    @Test("times are percentiles in nanoseconds")
    func histograms() throws {
        let client = WireClient(service)
        try client.createVM("a")
        for round in 0..<10 {
            try client.submit("a", page(0, at: round.isMultiple(of: 2) ? "0x0" : "0x100000"))
        }
        let histograms = try #require(try client.call("metrics.get").result?["histograms"])
        // Moves hold vCPUs, additions don't.
        #expect(histograms["blackout"]?["count"]?.int == 9)
        let total = try #require(histograms["total"])
        #expect(total["count"]?.int == 10)
        let ranks = try ["min", "p50", "p90", "p99", "p999"].map {
            try #require(total[$0]?.int)
        }
        #expect(ranks == ranks.sorted())
        #expect(ranks[1] > 0)
        let sum = try #require(total["sum"]?.int)
        let receipts = try #require(
            try client.call("memslots.history", "{\"vm\":\"a\"}").result?["receipts"])
        #expect(
            receipts.list.reduce(0) { $0 + ($1["nanoseconds"]?["total"]?.int ?? 0) } == sum)
    }

    @Test("a user sees only its own metrics")
    func users() throws {
        let one = WireClient(service, user: 1_000)
        let two = WireClient(service, user: 1_001)
        try one.createVM("mine")
        try one.submit("mine", page(0, at: "0x0"))
        let answer = try two.call("metrics.get")
        #expect(answer.result?["counters"]?["commits"]?.int == 0)
        #expect(answer.result?["vms"]?.list.isEmpty == true)
        #expect(!answer.line.contains("mine"))
        #expect(!answer.line.contains("1000"))
        #expect(service.openMetrics().contains("user=\"1000\",vm=\"mine\""))
        #expect(service.openMetrics().contains("user=\"1001\""))
    }

    @Test("root and the server's own user see what each user has, but no names")
    func operators() throws {
        let user = WireClient(service, user: 1_000)
        try user.createVM("mine")
        try user.submit("mine", page(0, at: "0x0"))
        for client in [WireClient(service, user: 0), WireClient(service)] {
            let answer = try client.call("metrics.get")
            let users = try #require(answer.result?["users"]).list
            let gauges = try #require(users.first { $0["user"]?.int == 1_000 }?["gauges"])
            #expect(gauges["vms"]?.int == 1 && gauges["slots"]?.int == 1)
            #expect(gauges["subscriptions"]?.int == 0 && gauges["memoryBytes"]?.int == 0)
            #expect(!answer.line.contains("mine"))
        }
        #expect(try user.call("metrics.get").result?["users"] == nil)
    }

    @Test(
        "the text is OpenMetrics: each family is contiguous, names are escaped, and there is an end"
    )
    func openMetrics() throws {
        let client = WireClient(service)
        try client.createVM("q\\\"")
        try client.createVM("\\\\")
        try client.submit("q\\\"", page(0, at: "0x0"))
        let text = service.openMetrics()
        #expect(text.hasSuffix("# EOF\n"))
        #expect(text.contains("vm=\"q\\\"\""))
        #expect(text.contains("vm=\"\\\\\""))
        var families: [String] = []
        var type = ""
        for line in text.split(separator: "\n").dropLast() {
            let words = line.split(separator: " ")
            if line.hasPrefix("# TYPE") {
                families.append(String(words[2]))
                type = String(words[3])
            } else if !line.hasPrefix("#") {
                let name = String(line.prefix { $0 != "{" && $0 != " " })
                let family = try #require(families.last)
                #expect(Double(words[words.count - 1]) != nil, "\(line)")
                switch type {
                case "counter": #expect(name == family + "_total")
                case "gauge": #expect(name == family)
                default: #expect([family, family + "_count", family + "_sum"].contains(name))
                }
            }
        }
        #expect(Set(families).count == families.count)
        #expect(families.contains("memslots_blackout_seconds"))
        #expect(families.contains("memslots_vm_commits"))
    }
}
