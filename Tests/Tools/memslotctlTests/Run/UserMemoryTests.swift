import Foundation
import Testing

@Suite(
    "user memory under run",
    .enabled(if: Workbench.canRunVMM, "needs /dev/kvm, a C compiler and the preload library"))
struct UserMemoryTests {
    static let cases = [
        ("unmap", "behind 0x104000-0x104fff of slot 1, is not mapped"),
        (
            "protect",
            "behind 0x104000-0x105fff of slot 1, is protected from writing, and the slot is not "
                + "read-only"
        ),
        ("none", "behind 0x104000-0x105fff of slot 1, is protected from reading"),
        ("truncate", "behind 0x108000-0x10ffff of slot 1, lies past the end of its file"),
    ]

    @Test(
        "KVM_RUN = EFAULT is explained by the mappings, in the report and in the record",
        .timeLimit(.minutes(5)), arguments: cases, [[], ["--atomic"]])
    func fault(how: (name: String, reason: String), options: [String]) throws {
        let (report, record) = (Workbench.file("report"), Workbench.file("record"))
        let run = Finished(
            vmm: ["fault", how.name],
            under: options + ["--report-file", report, "--record", record])
        #expect(run.output == "errors 1\n", "\(run.errors)")
        let begin = "KVM_RUN could not reach the user memory behind a slot. At that moment: user "
        let again = Finished(running: Workbench.memslotctl ?? "", ["report", record])
        for text in [text(report), text(record), again.output] {
            #expect(text.contains(begin), "\(text)")
            #expect(text.contains(how.reason + "."), "\(text)")
        }
        let finding = how.reason + ", while the slot exists"
        #expect(text(report).contains(finding) == (how.name != "truncate"))
        #expect(again.output.contains(finding) == (how.name != "truncate"), "\(again.output)")
        let data = Finished(
            running: Workbench.memslotctl ?? "", ["report", "--json", record]
        ).output
        #expect(data.contains("\"errno\":\"EFAULT\"") && data.contains(how.reason), "\(data)")
        #expect(data.contains("\"kind\":\"user-memory\"") == (how.name != "truncate"), "\(data)")
        // Other memory is accessible.
        #expect(!text(report).contains("slot 0, "))
    }

    @Test("the socket reports the fault when it happens", .timeLimit(.minutes(5)))
    func live() throws {
        let watch = LiveWatch()
        let run = Finished(
            running: Workbench.memslotctl ?? "",
            ["run", "--socket", watch.socket, "--"]
                + watch.command([Workbench.vmm ?? "", "fault", "unmap"]))
        #expect(run.status == 0, "\(run.errors)")
        let events = watch.finish().events("run.fault")
        #expect(events.count == 1)
        #expect((events.first?["text"] as? String)?.contains(Self.cases[0].1) == true)
    }

    @Test("memory that is unmapped after its slot is deleted is no finding")
    func order() throws {
        let report = Workbench.file("report")
        let run = Finished(vmm: ["unmap", "5"], under: ["--report-file", report])
        #expect(run.status == 0, "\(run.errors)")
        #expect(!text(report).contains("while the slot exists"), "\(text(report))")
    }
}
