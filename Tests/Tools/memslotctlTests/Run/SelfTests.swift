import Foundation
import Glibc
import TestSupport
import Testing

@Suite(
    "the VMM's process under run",
    .enabled(if: Workbench.canRunVMM, "needs /dev/kvm, a C compiler and the preload library"))
struct SelfTests {
    /// What the run's process sees and the bare one does not, and the reverse.
    ///
    /// - Parameter shell: a script that ends with `exec "$@"`.
    private func difference(
        _ options: [String], in shell: String = "exec \"$@\""
    ) -> (added: [String], removed: [String]) {
        let vmm = [Workbench.vmm ?? "", "self"]
        func finished(_ command: [String]) -> Finished {
            Finished(running: "/bin/sh", ["-c", shell, "sh"] + command)
        }
        func lines(_ run: Finished) -> [String] {
            // The number of a pipe or a socket that both inherit differs.
            run.output.split(separator: "\n").map {
                String($0.hasPrefix("descriptor ") ? $0.prefix { $0 != "[" } : $0)
            }
        }
        var removed = lines(finished(vmm))
        var added: [String] = []
        let run = [Workbench.memslotctl ?? "", "run"] + options + ["--"]
        for line in lines(finished(run + vmm)) {
            if let same = removed.firstIndex(of: line) {
                removed.remove(at: same)
            } else {
                added.append(line)
            }
        }
        // Our two variables, of the VMM and of its child.
        for name in ["LD_PRELOAD=", "MEMSLOTS_RUN="] {
            #expect(added.count { $0 == name || $0.hasPrefix("variable " + name) } <= 1)
            added.removeAll { $0.hasPrefix("variable " + name) || $0.hasPrefix(name) }
            removed.removeAll { $0.hasPrefix("variable " + name) || $0.hasPrefix(name) }
        }
        // The mappings of our library, of what it needs, and of the record.
        added.removeAll { line in
            guard line.hasPrefix("map ") else { return false }
            return Self.libraries.contains(String(line.dropFirst("map r--p ".count)))
                || line == "map rw-s /memfd:memslots-run (deleted)"
        }
        return (added.sorted(), removed.sorted())
    }

    /// The preload library and those that it needs, by their files.
    private static let libraries: Set<String> = {
        let library = BuiltProducts.path(of: "libmemslots-preload.so") ?? ""
        let needed = Finished(running: "/usr/bin/ldd", [library]).output
            .split(whereSeparator: \.isWhitespace).filter { $0.hasPrefix("/") }.map(String.init)
        return Set(
            ([library] + needed).map {
                URL(fileURLWithPath: $0).resolvingSymlinksInPath().path
            })
    }()

    @Test("is as without us where calls are only recorded", arguments: [false, true])
    func record(serves: Bool) {
        let seen = difference(serves ? ["--socket", Workbench.file("socket")] : [])
        #expect(seen.added == [])
        #expect(seen.removed == [])
    }

    @Test("ignores the signals that memslotctl was started with ignored")
    func ignored() throws {
        let seen = difference([], in: "trap '' INT QUIT HUP TERM USR1; exec \"$@\"")
        #expect(seen.added == [] && seen.removed == [])
    }

    @Test("has with --atomic what Docs/Run.md lists, and nothing else")
    func atomic() throws {
        let seen = difference(["--atomic"])
        let signal = "signal \(__libc_current_sigrtmax() - 5) handled"
        let threads = try #require(seen.removed.first { $0.hasPrefix("threads ") })
        let count = try #require(Int(threads.dropFirst("threads ".count)))
        let statistics = seen.added.filter { $0.hasPrefix("descriptor anon_inode:kvm-vcpu-stats") }
        #expect(statistics.count == (Workbench.hasVCPUStatistics ? 1 : 0))
        #expect(seen.added == statistics + [signal, signal, "threads \(count + 1)"])
        #expect(seen.removed == [threads])
    }

    @Test("aborts with its own words, and with its core", arguments: [[], ["--atomic"]])
    func abort(options: [String]) throws {
        let bare = Finished(vmm: ["abort"])
        let run = Finished(vmm: ["abort"], under: options)
        #expect(bare.status == 128 + SIGABRT)
        #expect(run.status == bare.status)
        let own = run.errors.dropFirst(bare.errors.count)
        #expect(run.errors.hasPrefix(bare.errors) && own.count(where: { $0 == "\n" }) == 1)
        #expect(own.hasPrefix("memslotctl run: no slot call was recorded"), "\(run.errors)")
        let pattern = text("/proc/sys/kernel/core_pattern")
        guard pattern == "core\n" else { return }
        /// The functions on the stack of its core; one word without a debugger, `nil` without a core.
        func core(_ command: [String]) throws -> [String]? {
            let folder = Workbench.file("core")
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            let script = "cd \(folder); ulimit -c unlimited; exec \"$@\""
            _ = Finished(running: "/bin/sh", ["-c", script, "sh"] + command)
            let names = try FileManager.default.contentsOfDirectory(atPath: folder)
            guard let core = names.first(where: { $0.hasPrefix("core") }) else { return nil }
            guard let debugger = BuiltProducts.tool("gdb") else { return ["a core"] }
            let words = ["-batch", "-ex", "bt", Workbench.vmm ?? "", folder + "/" + core]
            return Finished(running: debugger, words).output.matches(of: #/#\d+ .*?(\w+) \(/#)
                .map { String($0.output.1) }
        }
        let vmm = Workbench.vmm ?? ""
        let underRun = [Workbench.memslotctl ?? "", "run"] + options + ["--", vmm, "abort"]
        let expected = try core([vmm, "abort"])
        #expect(try core(underRun) == expected)
        #expect(expected?.isEmpty == false)
    }
}
