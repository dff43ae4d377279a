import Foundation
import MemslotProtocol
import MemslotService
import TestSupport
import WireTestSupport

/// A fixed sequence of requests.
struct Course {
    let requests: [(method: String, params: String)]

    /// Everything that changes a state directory: both kinds of backing, every kind of change, a
    /// transaction that is rolled back, VMs and memory that are created and destroyed.
    static let whole = Course(requests: [
        (
            "vm.create",
            #"{"vm":"a","backend":"simulated","simulated":{"maxSlots":64,"addressSpaces":2}}"#
        ),
        ("memory.create", #"{"vm":"a","memory":"ram","size":"0x10000","backing":"memfd"}"#),
        ("memslots.submit", submit("a", ram(0, 0), raw(1, 0x100000))),
        ("memslots.submit", submit("a", ram(0, 0x20000), raw(1, 0x100000, #""log-dirty-pages""#))),
        ("fault.inject", #"{"vm":"a","operation":1,"errno":"ENOMEM"}"#),
        ("memslots.submit", submit("a", ram(3, 0), raw(4, 0x300000), raw(5, 0x400000))),
        ("vm.create", #"{"vm":"b","backend":"simulated"}"#),
        ("memslots.submit", submit("b", raw(7, 0))),
        ("vm.create", #"{"vm":"passing","backend":"simulated","ephemeral":true}"#),
        ("memslots.submit", submit("passing", raw(0, 0))),
        ("memory.create", #"{"vm":"b","memory":"more","size":"0x2000","backing":"memfd"}"#),
        ("memslots.submit", submit("a", raw(1, 0x100000, #""log-dirty-pages""#))),
        ("memory.destroy", #"{"vm":"a","memory":"ram"}"#),
        ("vm.destroy", #"{"vm":"b"}"#),
        ("memslots.submit", submit("a")),
        ("vm.destroy", #"{"vm":"a"}"#),
    ])

    private static func submit(_ vm: String, _ slots: String...) -> String {
        #"{"vm":"\#(vm)","slots":[\#(slots.joined(separator: ","))]}"#
    }

    private static func ram(_ slot: Int, _ address: Int) -> String {
        #"{"slot":\#(slot),"guestPhysicalAddress":\#(address),"size":8192,"memory":"ram","#
            + #""memoryOffset":4096}"#
    }

    private static func raw(_ slot: Int, _ address: Int, _ flags: String = "") -> String {
        #"{"slot":\#(slot),"guestPhysicalAddress":\#(address),"size":4096,"#
            + #""userspaceAddress":"0x7f0000000000","flags":[\#(flags)]}"#
    }

    /// How many requests of the sequence a client has sent.
    struct Progress {
        /// How many requests were answered.
        var answered = 0
        /// The error of the last one, if it succeeds in an undisturbed run.
        var refusal: String?
        /// Whether the refused request stays in the record.
        var isAhead = false
    }

    /// Sends the requests until the daemon ends, or refuses one that should succeed.
    ///
    /// - Parameters:
    ///   - limit: the number of requests to send.
    ///   - body: called after each request.
    func run(
        on client: inout ClientConnection, limit: Int = .max,
        afterEach body: (inout ClientConnection) throws -> Void = { _ in }
    ) throws -> Progress {
        var progress = Progress()
        for (index, request) in requests.prefix(limit).enumerated() {
            let answer: ClientConnection.Received
            do {
                answer = try client.call(request.method, request.params)
            } catch {
                return progress
            }
            progress.answered = index + 1
            if let error = answer.value?["error"],
                error["data"]?["kind"]?.string != "rolled-back"
                    || error["data"]?["errno"]?.string != "ENOMEM"
                    || error["data"]?["reason"] != nil
            {
                progress.refusal = error.rawText
                progress.isAhead = error.rawText.contains("could not be undone")
                return progress
            }
            try body(&client)
        }
        return progress
    }

    /// Returns everything that the wire shows of the VMs, except the ephemeral one.
    static func snapshot(_ client: inout ClientConnection) throws -> String {
        let list = try client.call(.vmList).value?["result"]?["vms"]?.rawText ?? "none"
        var text = ""
        for vm in try JSONDocument(parsing: list).root.elements {
            let name = vm["vm"]?.string ?? ""
            guard name != "passing" else { continue }
            text += vm.rawText + "\n"
            for method in ["memslots.get", "memory.list"] {
                let answer = try client.call(method, #"{"vm":"\#(name)"}"#)
                text += (answer.value?["result"]?.rawText ?? "none") + "\n"
            }
        }
        return text
    }

    /// Returns the snapshot after the submit that is rolled back, if it succeeded instead: a daemon
    /// that is killed before its reply may restore this.
    func granted() throws -> String {
        let fault = requests.firstIndex { $0.method == "fault.inject" } ?? 0
        var others = Array(requests[...(fault + 1)])
        others.remove(at: fault)
        return try Course(requests: others).snapshots().last ?? ""
    }

    /// The index of the submit that is rolled back.
    var rolledBack: Int { (requests.firstIndex { $0.method == "fault.inject" } ?? 0) + 1 }

    /// Returns the snapshots before the first request and after each.
    func snapshots() throws -> [String] {
        let scratch = try ScratchDirectory()
        let daemon = try DaemonProcess(stateIn: scratch)
        var client = try daemon.connect()
        var all = [try Self.snapshot(&client)]
        _ = try run(on: &client) { all.append(try Self.snapshot(&$0)) }
        return all
    }
}
