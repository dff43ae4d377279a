import Foundation
import MemslotProtocol
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "memslotctl as a client", .serialized,
    .enabled(if: Executable.areBuilt, "memslotctl and memslotd are not built"))
struct ClientTests {
    private static let array = """
        {"slots": [
          {"slot": 0, "guestPhysicalAddress": 0, "size": "0x200000", "memory": "ram",
           "flags": ["log-dirty-pages"]},
          {"guestPhysicalAddress": "0x40000000", "size": 65536,
           "userspaceAddress": "0x7f0000000000"}
        ]}
        """

    /// A daemon with the VM `web`, its memory `ram`, and the array.
    private func daemonWithVM() throws -> DaemonProcess {
        let daemon = try DaemonProcess()
        #expect(try daemon.run("create", "web", "--backend", "simulated").status == 0)
        #expect(try daemon.run("memory", "create", "web", "ram", "--size", "2M").status == 0)
        let file = try daemon.file("array.json", Self.array)
        let submitted = try daemon.run("submit", "web", file)
        #expect(submitted.status == 0, "\(submitted.errors)")
        #expect(submitted.output.contains("web is at generation 1: 2 kernel calls"))
        return daemon
    }

    @Test("info and list print the daemon and its VMs")
    func info() throws {
        let daemon = try daemonWithVM()
        let info = try daemon.run("info")
        #expect(info.status == 0)
        #expect(info.output.contains("memslots ") && info.output.contains(daemon.socket))
        #expect(info.output.contains("web") && info.output.contains("lineBytes"))
        #expect(try daemon.run("list").output.contains("simulated"))
        let json = try JSONDocument(parsing: daemon.run("info", "--json").output).root
        #expect(json["name"]?.string == "memslots")
    }

    @Test("MEMSLOTS_SOCKET names the socket, and hints repeat it")
    func environment() throws {
        let daemon = try daemonWithVM()
        let scratch = try ScratchDirectory()
        func list(_ socket: String) throws -> CommandRun.Outcome {
            try CommandRun(
                ["MEMSLOTS_SOCKET=\(socket)", Executable.memslotctl ?? "", "list"],
                program: "/usr/bin/env", in: scratch.path
            ).outcome()
        }
        #expect(try list(daemon.socket).output.contains("web"))
        let missing = try list("/nonexistent/s")
        #expect(missing.status == 1)
        #expect(missing.errors.contains("memslotd --socket /nonexistent/s"), "\(missing.errors)")
    }

    @Test("the output of get can be submitted again, and changes nothing")
    func getAndSubmit() throws {
        let daemon = try daemonWithVM()
        let printed = try daemon.run("get", "web").output
        let again = try daemon.run("submit", "web", daemon.file("again.json", printed))
        #expect(again.status == 0)
        #expect(again.output.contains("unchanged at generation 1"))
        #expect(try daemon.run("get", "--vm", "web").output == printed)
        #expect(try daemon.run("memory", "list", "--vm=web").output.contains("ram"))
        #expect(try daemon.run("get", "--vm").errors.contains("--vm: name a VM"))
        let empty = try daemon.file("empty.json", "[]")
        let stale = try daemon.run("submit", "web", empty, "--expected-generation", "7")
        #expect(stale.status == 1)
        #expect(stale.errors.contains("generation 7 was expected"))
        let receipt = try JSONDocument(
            parsing: daemon.run("submit", "web", empty, "--json").output
        ).root
        #expect(receipt["generation"]?.int == 2)
    }

    @Test("--continuity holds no vCPU for two deletions")
    func continuity() throws {
        let daemon = try daemonWithVM()
        let slots = [0, 8_192].map {
            #"{"guestPhysicalAddress":\#($0),"size":4096,"memory":"ram","memoryOffset":\#($0)}"#
        }
        try daemon.run("submit", "web", daemon.file("two", "[\(slots.joined(separator: ","))]"))
        let empty = try daemon.file("empty.json", "[]")
        let both = try daemon.run("submit", "web", empty, "--quiesce", "--continuity")
        #expect(both.status != 0 && both.errors.contains("exclude each other"))
        let planned = try daemon.run("plan", "--vm", "web", empty)
        #expect(planned.output.contains("vCPUs would be held (several-visible-changes)"))
        let kept = try daemon.run("plan", "--vm", "web", empty, "--continuity")
        #expect(kept.output.contains("the guest would keep running"))
        let submitted = try daemon.run("submit", "web", empty, "--continuity")
        #expect(submitted.output.contains("the guest kept running"))
    }

    @Test("plan --vm prints what a submit would do, and changes nothing")
    func plan() throws {
        let daemon = try daemonWithVM()
        let plan = try daemon.run("plan", "--vm", "web", daemon.file("empty.json", "[]"))
        #expect(plan.status == 0)
        #expect(plan.output.contains("web would be at generation 2: 2 kernel calls"))
        #expect(try daemon.run("get", "web", "--json").output.contains(#""generation":1"#))
    }

    @Test("map, translate, dirty and history read a VM")
    func reading() throws {
        let daemon = try daemonWithVM()
        let map = try daemon.run("map", "--vm", "web")
        #expect(map.status == 0 && map.output.contains("ram +0x0"))
        let places = try daemon.run("translate", "web", "4K", "1G", "0x1000", "3g")
        #expect(places.output.contains("ram +0x1000"))
        #expect(places.output.contains("hva 0x7f0000000000"))
        #expect(places.output.contains("no slot"))
        #expect(try daemon.run("translate", "web", "4X").status == 64)
        let dirty = try daemon.run("dirty", "web", "0")
        #expect(dirty.output.contains("0 of 512 pages are dirty"))
        let notLogging = try daemon.run("dirty", "web", "1")
        #expect(notLogging.status == 1 && notLogging.errors.contains("does not log dirty pages"))
        #expect(try daemon.run("history", "web").output.contains("added 0 1"))
        #expect(try daemon.run("metrics").output.contains("commits"))
        #expect(try daemon.run("metrics", "--open-metrics").output.hasSuffix("# EOF\n"))
    }

    @Test("dirty prints the touched ranges, and --clear clears them")
    func dirty() throws {
        let daemon = try daemonWithVM()
        try daemon.touch("web", at: "0x3000", size: 8_192)
        try daemon.touch("web", at: "0x1ff000", size: 1)
        let dirty = try daemon.run("dirty", "web", "0", "--clear")
        #expect(dirty.output.contains("3 of 512 pages are dirty, 12 KiB; they are clean now"))
        let rows = dirty.output.split(separator: "\n").map {
            $0.split(separator: " ").joined(separator: " ")
        }
        #expect(rows.suffix(2) == ["0x3000 8 KiB", "0x1ff000 4 KiB"])
        #expect(try daemon.run("dirty", "web", "0").output.contains("0 of 512"))
    }

    @Test("dirty --memory prints the pages of all slots that map a memory object, each once")
    func dirtyMemory() throws {
        let daemon = try daemonWithVM()
        let file = try daemon.file(
            "two.json",
            """
            [{"slot": 0, "guestPhysicalAddress": 0, "size": "0x100000", "memory": "ram",
              "flags": ["log-dirty-pages"]},
             {"slot": 1, "guestPhysicalAddress": "1073741824", "size": "0xff000", "memory": "ram",
              "memoryOffset": "0x100000", "flags": ["log-dirty-pages"]},
             {"slot": 2, "guestPhysicalAddress": "0x80000000", "size": "0x1000", "memory": "ram",
              "memoryOffset": "0x100000", "flags": ["log-dirty-pages"]}]
            """)
        let submitted = try daemon.run("submit", "web", file)
        #expect(submitted.output.contains("warning: slot 1 at 0x40000000-0x400fefff and slot 2"))
        for address in ["0xff000", "0x40000000", "0x80000000"] {
            try daemon.touch("web", at: address, size: 1)
        }
        let dirty = try daemon.run("dirty", "web", "--memory", "ram", "--clear")
        #expect(
            dirty.output.contains(
                "2 of 512 pages are dirty, 8 KiB; they are clean now; no slot logs 1 of them"))
        #expect(dirty.output.contains("offset in ram") && dirty.output.contains("0xff000  8 KiB"))
        #expect(try daemon.run("dirty", "web", "2").output.contains("0 of 1 "))
        #expect(try daemon.run("dirty", "web").status == 64)
        #expect(try daemon.run("dirty", "web", "0", "--memory", "ram").status == 64)
        let none = try daemon.run("dirty", "web", "--memory", "rom")
        #expect(none.status == 1 && none.errors.contains("no memory object \"rom\""))
    }

    @Test("get --generation prints a former array, and submitting it restores it")
    func formerArray() throws {
        let daemon = try daemonWithVM()
        let first = try daemon.run("get", "web").output
        try daemon.run("submit", "web", daemon.file("empty.json", "[]"))
        let former = try daemon.run("get", "web", "--generation", "1")
        #expect(former.output == first)
        let restored = try daemon.run("submit", "web", daemon.file("former.json", former.output))
        #expect(restored.output.contains("web is at generation 3: 2 kernel calls"))
        let unknown = try daemon.run("get", "web", "--generation", "4")
        #expect(unknown.status == 1)
        #expect(unknown.errors.contains("the history has those of generations 0 to 3"))
        #expect(unknown.errors.contains("memslotctl history"))
    }

    @Test("translate prints the pieces of a range")
    func translateRange() throws {
        let daemon = try daemonWithVM()
        let places = try daemon.run("translate", "web", "0x1ffff0+64", "1G")
        let rows = places.output.split(separator: "\n").map {
            $0.split(separator: " ").joined(separator: " ")
        }
        #expect(
            rows.contains("0x1ffff0 16 B 0 0x1ffff0 ram +0x1ffff0 log-dirty-pages"),
            "\(places.output)")
        #expect(rows.contains("0x200000 48 B – no slot"), "\(places.output)")
        #expect(rows.contains("0x40000000 1 0x0 hva 0x7f0000000000"), "\(places.output)")
        for bad in ["1+", "+1", "1+2+3", "1+x"] {
            #expect(try daemon.run("translate", "web", bad).status == 64, "\(bad)")
        }
    }

    @Test("memory is listed, copied to a file, and shared with a command")
    func memory() throws {
        let daemon = try daemonWithVM()
        #expect(try daemon.run("memory", "list", "web").output.contains("2 MiB"))
        let written = try daemon.run(
            "memory", "export", "web", "ram", "--", "/bin/sh", "-c", "printf hello >&3")
        #expect(written.status == 0, "\(written.errors)")
        let copy = daemon.directory.path("copy")
        #expect(try daemon.run("memory", "export", "web", "ram", "--output", copy).status == 0)
        let bytes = FileManager.default.contents(atPath: copy) ?? Data()
        #expect(bytes.count == 2 << 20)
        #expect(bytes.prefix(6) == Data("hello\0".utf8))
        let used = try daemon.run("memory", "destroy", "web", "ram")
        #expect(used.status == 1 && used.errors.contains("submit an array without them first"))
    }

    @Test("watch redraws the map at a commit, and ends after --events")
    func watch() throws {
        let daemon = try daemonWithVM()
        let watch = try daemon.start("watch", "web", "--events", "1")
        #expect(watch.read(until: "hva").contains("web, generation 1"))
        try daemon.run("submit", "web", daemon.file("empty.json", "[]"))
        let end = try watch.outcome()
        #expect(end.status == 0)
        #expect(end.output.contains("web, generation 2\nno slots"))
        #expect(end.output.contains("web: removed 0 1; kernel calls: 2"))
    }

    @Test("a VM is destroyed, and one that is ready can be recovered")
    func destroy() throws {
        let daemon = try daemonWithVM()
        #expect(try daemon.run("recover", "web").output.contains("web is ready"))
        #expect(try daemon.run("destroy", "web").output == "web is destroyed\n")
        let gone = try daemon.run("destroy", "web")
        #expect(gone.status == 1)
        #expect(gone.errors.contains("there is no VM \"web\""))
        #expect(gone.errors.contains("memslotctl list"))
    }
}
