import Foundation
import Glibc
import Testing

@Suite(
    "run --atomic", .serialized,
    .enabled(if: Workbench.canRunVMM, "needs /dev/kvm, a C compiler and the preload library"))
struct AtomicTests {
    @Test("no vCPU sees a hole, loses an increment, or sees our kick")
    func split() throws {
        let run = Finished(vmm: ["split", "3000"], under: ["--atomic"])
        #expect(run.output == "mmio 0 errors 0 interruptions 2 lost 0\n", "\(run.errors)")
        #expect(run.errors.contains("calls asked"))
    }

    @Test("the same VMM bare loses increments, so the test above can fail")
    func bare() throws {
        // As many as there: in a hundred a busy host may not run the vCPUs during any hole.
        let run = Finished(vmm: ["split", "3000"])
        #expect(!run.output.contains("mmio 0 "), "\(run.output)")
    }

    @Test("a vCPU's own thread changes slots at an exit")
    func exit() throws {
        let run = Finished(vmm: ["exit", "200"], under: ["--atomic"])
        #expect(run.output == "own mmio 0; mmio 0 errors 0 interruptions 1 lost 0\n")
    }

    @Test("a change that the guest sees in memory comes after the calls before it")
    func visible() throws {
        let run = Finished(vmm: ["visible", "100"], under: ["--atomic"])
        #expect(run.output == "out of order 0 errors 0\n", "\(run.errors)")
    }

    @Test("every kick of the VMM's own reaches it, once")
    func kicks() throws {
        let run = Finished(vmm: ["kicks", "300"], under: ["--atomic"])
        #expect(
            run.output == "all kicks seen; mmio 0 errors 0 interruptions 301 lost 0\n",
            "\(run.errors)")
    }

    @Test("calls are answered as the kernel answers them", arguments: ["errors", "memfd"])
    func answers(test: String) throws {
        let bare = Finished(vmm: [test])
        let run = Finished(vmm: [test], under: ["--atomic"])
        #expect(run.output == bare.output, "\(run.errors)")
    }

    @Test("where KVM may have a slot of its own the kernel decides, and nothing is promised")
    func reserved() throws {
        let bare = Finished(vmm: ["own"])
        let run = Finished(vmm: ["own"], under: ["--atomic"])
        let lines = bare.output.split(separator: "\n").dropLast()
        #expect(lines.count == 6)
        #expect(run.output.split(separator: "\n").dropLast() == lines, "\(run.errors)")
        #expect(run.output.hasSuffix("lost 0 mmio 0\n"), "\(run.output) \(run.errors)")
        // The third call is the first on such a page: the VMM receives the kernel's result.
        let refused = Finished(vmm: ["own"], under: ["--atomic", "--fail-call", "3"])
        #expect(refused.status == 0, "\(refused.errors)")
        #expect(refused.output.hasPrefix("0xfeffc000 12 0 0\n0xfeffd000 0 0 0\n"))
    }

    @Test("dirty bits survive, and are returned until they are cleared")
    func dirty() throws {
        let reading = Finished(vmm: ["dirty"], under: ["--atomic"])
        #expect(reading.output == "after split 8 8\nread again 0 0\nafter merge 0\n")
        let manual = Finished(vmm: ["dirty", "1"], under: ["--atomic"])
        #expect(
            manual.output
                == "after split 8 8\nread again 8 8\ncleared half 8 4\nafter merge 12\n")
    }

    @Test("a dirty ring continues unchanged")
    func ring() throws {
        let run = Finished(vmm: ["ring"], under: ["--atomic"])
        guard run.status != 77 else { return }
        #expect(
            run.output == "bitmap 6\nupper half in the ring 0xff lost 0 mmio 0\n", "\(run.errors)")
    }

    @Test("memory is unmapped after its slot")
    func unmap() throws {
        let run = Finished(vmm: ["unmap", "100"], under: ["--atomic", "--report"])
        #expect(run.output == "mmio 0 errors 0 interruptions 1 lost 0\n", "\(run.errors)")
        #expect(run.errors.contains("unmapping 100"), "\(run.errors)")
    }

    @Test("a call of VFIO, iommufd or vhost comes after the slots before it, another doesn't wait")
    func devices() throws {
        let run = Finished(
            vmm: ["device"], under: ["--atomic", "--quiet-us", "5000000", "--report"])
        let names = ["vhost", "vsock", "vfio map", "vfio unmap", "iommufd"]
        let lines = names.map { "\($0): before 2 after 0\n" }.joined()
        #expect(
            run.output == lines + "other: before 2 after 2\nlost 0 mmio 0\n", "\(run.errors)")
        #expect(run.errors.contains("a device 5"), "\(run.errors)")
    }

    @Test("a vhost-user memory table comes after the slots before it, other bytes don't wait")
    func messages() throws {
        let run = Finished(
            vmm: ["message"], under: ["--atomic", "--quiet-us", "5000000", "--report"])
        let tables = ["sendmsg", "split", "send", "write", "writev"]
        let others = ["reply", "version", "size", "request", "datagram", "pipe", "short"]
        let lines =
            tables.map { "\($0): before 2 after 0 sent 1\n" }
            + others.map { "\($0): before 2 after 2 sent 1\n" }
        #expect(run.output == lines.joined() + "lost 0 mmio 0\n", "\(run.errors)")
        #expect(run.errors.contains("a vhost-user table 5"), "\(run.errors)")
    }

    @Test(
        "many threads, setuid, and handlers of the VMM's on a vCPU's thread that wait or change slots",
        .timeLimit(.minutes(2)),
        arguments: [["many"], ["identity"], ["handler", "park"], ["handler", "changes"]])
    func odd(words: [String]) throws {
        // On a busy machine a thread that sleeps for 50 µs between its calls sleeps for milliseconds.
        let quiet = words == ["many"] ? ["--quiet-us", "50000"] : []
        let run = Finished(vmm: words, under: ["--atomic", "--hold-limit-s", "20"] + quiet)
        #expect(run.output.hasSuffix("lost 0 mmio 0\n"), "\(run.output)\(run.errors)")
        guard words.last == "park" else { return }
        #expect(run.output.contains("\ninterruptions 2\n"), "\(run.output)")
    }

    @Test("a hold without a vCPU spends no budget, and is no figure of vCPUs")
    func unstarted() throws {
        let run = Finished(
            vmm: ["unstarted"],
            under: ["--atomic", "--hold-budget-us", "300", "--past-budget", "stop"])
        #expect(run.status == 0 && run.output == "ready\n", "\(run.errors)")
        #expect(!run.errors.contains("vCPUs held"), "\(run.errors)")
    }

    @Test("another VM that changes all the time delays no commit", .timeLimit(.minutes(2)))
    func neighbour() throws {
        let run = Finished(vmm: ["neighbour"], under: ["--atomic"])
        #expect(run.output == "runs; lost 0 mmio 0\n", "\(run.errors)")
    }

    @Test("dirty bits that were kept do not reach a slot's successor when calls pass")
    func replaced() throws {
        let run = Finished(
            vmm: ["replaced"],
            under: [
                "--atomic", "--quiet-us", "2000000", "--hold-budget-us", "100000",
                "--past-budget", "pass",
            ])
        #expect(run.output == "kept 8\nnew slot 0\n", "\(run.errors)")
    }

    @Test("threads that ask at once, a child's VM, and closed descriptors", .timeLimit(.minutes(2)))
    func processes() throws {
        let threads = Finished(vmm: ["threads"], under: ["--atomic"])
        #expect(threads.output == "lost 0 mmio 0\n", "\(threads.errors)")
        let fork = Finished(vmm: ["fork"], under: ["--atomic"])
        #expect(
            fork.output
                == "parent's in child 5\nown in child: lost 0 mmio 0\nchild 0 parent 0\n",
            "\(fork.errors)")
        let reuse = Finished(vmm: ["reuse", "50"], under: ["--atomic"])
        #expect(reuse.output == "reused\n", "\(reuse.errors)")
    }

    @Test("what a child by vfork closes stays open")
    func vfork() throws {
        #expect(Finished(vmm: ["vfork"]).output == "after vfork 0\n")
        let run = Finished(vmm: ["vfork"], under: ["--atomic", "--quiet-us", "5000000"])
        #expect(run.output == "after vfork \(ENOENT)\n", "\(run.errors)")
    }

    @Test("a VMM is stopped if the kernel refuses what was promised")
    func refused() throws {
        let run = Finished(vmm: ["split", "5"], under: ["--atomic", "--fail-call", "2"])
        #expect(run.status == 70)
        #expect(run.errors.contains("ENOMEM"))
        #expect(run.errors.contains("The VMM is stopped, because it believes otherwise"))
        #expect(run.errors.contains("memslotctl run: the VMM was stopped"))
    }

    @Test(
        "a vCPU that sleeps in the kernel is not waited for, and is not woken into a hole",
        arguments: [1, 2, 8])
    func halted(vcpus: Int) throws {
        let outcome = "mmio 0 errors 0 interruptions 1 lost 0\n"
        let run = Finished(vmm: ["halted", "300", "\(vcpus)"], under: ["--atomic"])
        #expect(run.output == outcome, "\(run.errors)")
        // Beside an idle processor a single one has often left before it could be seen asleep.
        let shared = Finished(
            vmm: ["halted", "300", "\(vcpus)", "1000", "one-processor"],
            under: ["--atomic", "--report"])
        #expect(shared.output == outcome, "\(shared.errors)")
        let pattern = #/slept in the kernel was not waited for (\d+) time/#
        let found = shared.errors.firstMatch(of: pattern)
        let asleep = try #require(found.flatMap { Int($0.output.1) })
        #expect(asleep > 0 || !Workbench.hasVCPUStatistics)
    }

    /// The order is tested, because its effect is too rare: a vCPU that is woken between reading and
    /// signal leaves the guest before the first call on most machines.
    @Test(
        "whether a vCPU sleeps is read after it was sent the signal, in every hold",
        .enabled(
            if: Workbench.strace != nil && Workbench.hasVCPUStatistics, "no strace, or no statistic"
        ))
    func readsAfterKick() throws {
        let trace = Workbench.file("strace")
        let run = Finished(
            running: Workbench.strace ?? "",
            ["-f", "-qq", "-e", "trace=ioctl,tgkill,pread64", "-e", "signal=none", "-o", trace]
                + [Workbench.memslotctl ?? "", "run", "--atomic", "--"]
                + [Workbench.vmm ?? "", "halted", "50", "1"])
        #expect(run.output == "mmio 0 errors 0 interruptions 1 lost 0\n", "\(run.errors)")
        var kicked: Set<Substring> = []
        var reads = 0
        for line in try String(contentsOfFile: trace, encoding: .utf8).split(separator: "\n") {
            guard let thread = line.split(separator: " ").first else { continue }
            if line.contains(" tgkill(") { kicked.insert(thread) }
            if line.contains("KVM_SET_USER_MEMORY_REGION") { kicked.remove(thread) }
            // The statistic is read as 8 bytes, by a high descriptor.
            guard line.contains(#/pread64\(\d{3,}, .*, 8, \d+/#) else { continue }
            reads += 1
            #expect(kicked.contains(thread), "\(line)")
        }
        #expect(reads > 0)
    }

    @Test("without a descriptor for the statistic, a vCPU that sleeps is waited for")
    func haltedWithoutDescriptor() throws {
        let script = "ulimit -n 8; exec \"$0\" halted 50 2"
        let run = Finished(
            running: Workbench.memslotctl ?? "",
            ["run", "--atomic", "--", "/bin/sh", "-c", script, Workbench.vmm ?? ""])
        #expect(run.output == "mmio 0 errors 0 interruptions 1 lost 0\n", "\(run.errors)")
    }

    @Test("a hold past its budget is finished, ends in plain calls, or stops the VMM")
    func budget() throws {
        func run(_ action: String) -> Finished {
            Finished(
                vmm: ["split", "50"],
                under: ["--atomic", "--report", "--hold-budget-us", "1", "--past-budget", action])
        }
        let finished = run("finish")
        #expect(finished.output == "mmio 0 errors 0 interruptions 2 lost 0\n", "\(finished.errors)")
        // What the kernel has afterwards is what the VMM asked for: nothing fails.
        let passed = run("pass")
        #expect(passed.status == 0, "\(passed.errors)")
        #expect(passed.output.contains(" errors 0 "), "\(passed.output)")
        #expect(!passed.output.hasPrefix("mmio 0 "), "\(passed.output)")
        #expect(passed.errors.contains("budget 1;"), "\(passed.errors)")
        #expect(passed.errors.contains("302 calls asked, 302 made"), "\(passed.errors)")
        let stopped = run("stop")
        #expect(stopped.status == 70)
        #expect(stopped.errors.contains("held for longer than --hold-budget-us"))
    }

    @Test("dirty bits that were kept are still returned when calls pass")
    func budgetAndDirtyBits() throws {
        let run = Finished(
            vmm: ["dirty"],
            under: ["--atomic", "--hold-budget-us", "10000000", "--past-budget", "pass"])
        #expect(run.output == "after split 8 8\nread again 0 0\nafter merge 0\n", "\(run.errors)")
    }

    @Test("calls that a VMM did not live to see applied are counted")
    func unapplied() throws {
        let run = Finished(vmm: ["kill"], under: ["--atomic", "--quiet-us", "10000000"])
        #expect(run.status == 137)
        #expect(
            run.errors.contains("; 3 of the calls asked were never applied: the VMM ended first"))
    }

    @Test("the same VMM bare is woken into holes")
    func haltedBare() throws {
        let run = Finished(vmm: ["halted", "300"])
        #expect(!run.output.hasPrefix("mmio 0 "), "\(run.output)")
    }

    @Test("the VMM's calls are recorded too, and can be replayed")
    func record() throws {
        let file = Workbench.file("atomic.jsonl")
        let run = Finished(vmm: ["exit", "20"], under: ["--atomic", "--record", file])
        #expect(run.status == 0, "\(run.errors)")
        let replay = Finished(running: Workbench.memslotctl ?? "", ["replay", file])
        #expect(replay.status == 0, "\(replay.output) \(replay.errors)")
    }
}
