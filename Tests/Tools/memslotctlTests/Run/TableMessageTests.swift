import Foundation
import TestSupport
import Testing

@Suite(
    "vhost-user tables under run",
    .enabled(if: Workbench.canRunVMM, "needs /dev/kvm, a C compiler and the preload library"))
struct TableMessageTests {
    @Test(
        "the report and the record name memory that the guest did not have yet, and no other",
        arguments: [[], ["--atomic", "--quiet-us", "5000000"]])
    func early(options: [String]) throws {
        let (report, record) = (Workbench.file("report"), Workbench.file("record"))
        let page = Workbench.file("page")
        let run = Finished(
            vmm: ["table"],
            under: options + ["--report-file", report, "--record", record, "--html", page])
        #expect(run.status == 0 && run.output.hasSuffix(" wrong 0\n"), "\(run.output)\(run.errors)")
        let target = run.output.dropLast(" wrong 0\n".count)
        let again = Finished(running: Workbench.memslotctl ?? "", ["report", record])
        for text in [text(report), again.output] {
            let found = text.split(separator: "\n").filter { $0.contains("table sent to") }
            #expect(found.count == 2, "\(text)")
            let yet = "table sent to \(target) with memory that the guest did not have yet: "
            #expect(
                found.contains { $0.hasSuffix("ADD_MEM_REG: \(yet)0x9000000-0x9000fff") }, "\(text)"
            )
            #expect(
                found.contains {
                    $0.hasSuffix(
                        "SET_MEM_TABLE: \(yet)0x8fff000-0x8ffffff, 0x9001000-0x9001fff")
                }, "\(text)")
        }
        #expect(text(page).contains("early-table"))
        // Each region that was sent while there was one VM.
        #expect(text(record).components(separatedBy: "sent to \(target)").count - 1 == 5 + 2)
        let replay = Finished(running: Workbench.memslotctl ?? "", ["replay", record])
        #expect(replay.status == 0, "\(replay.output) \(replay.errors)")
    }
}
