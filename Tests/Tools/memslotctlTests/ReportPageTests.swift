import Foundation
import TestSupport
import Testing

@Suite(
    "The page of a report", .serialized,
    .enabled(if: Executable.memslotctl != nil, "memslotctl is not built"),
    .enabled(if: WebDriver.isInstalled, "Debian's chromium and chromium-driver are not installed"))
struct ReportPageTests {
    private let scratch: ScratchDirectory

    init() throws { scratch = try ScratchDirectory() }

    private func page(_ log: String) throws -> String {
        let page = scratch.path("page.html")
        let run = try CommandRun(["report", "-o", page, log], in: scratch.path).outcome()
        #expect(run.status == 0, "\(run.errors)")
        return page
    }

    @Test("every control works, and the console stays empty")
    func controls() throws {
        let log = Repository.fixture("field/slow-calls-T.log").path
        let browser = try WebDriver()
        try browser.open(page(log))
        #expect(try browser.text("name") == "slow-calls-T")
        #expect(try browser.text("headline").contains("missing for at most 63.1 ms"))
        #expect(try browser.number("document.querySelectorAll('#holes tbody tr').length") == 2)
        #expect(try browser.text("holes").contains("0xa0000000-0xbfffffff"))
        // The last transaction is shown; both halves of the split come from the old slot.
        #expect(try browser.text("moment").hasPrefix("after transaction 2 of 2"))
        #expect(
            try browser.text("pieces").contains(
                "slot 0 0xa0000000-0xbfffffffslot 1 0xa0000000-0xbfffffff"))
        #expect(try browser.number("document.querySelectorAll('#plan li').length") == 3)
        #expect(try browser.number("document.querySelectorAll('#slots tbody tr').length") == 2)
        #expect(
            try browser.number("document.querySelectorAll('#axis rect.hole.running').length") > 0)
        for (button, moment) in [
            ("#first", 1), ("#next", 2), ("#previous", 1), ("#last", 2), ("#first", 1),
            ("#next-hole", 2),
        ] {
            try browser.click(button)
            #expect(
                try browser.text("moment").hasPrefix("after transaction \(moment) of 2"),
                "\(button)")
        }
        // The slider, by key.
        try browser.type("\u{E012}", into: "#slider")
        #expect(try browser.text("moment").hasPrefix("after transaction 1 of 2"))
        let before = try browser.evaluate("document.querySelector('#axis').textContent") as? String
        try browser.click("#time-in")
        #expect(
            try browser.evaluate("document.querySelector('#axis').textContent") as? String != before
        )
        try browser.click("#time-out")
        try browser.click("#time-all")
        #expect(
            try browser.evaluate("document.querySelector('#axis').textContent") as? String == before
        )
        try browser.type("0x90000000\u{E007}", into: "#address")
        #expect(
            try browser.text("found").contains(
                "slot 0 at 0x80000000-0xbfffffff, host 0x7ffc10000000"))
        #expect(
            try browser.text("found").contains("missing between line 5 and line 6, at most 42.1 ms")
        )
        try browser.click("#last")
        try browser.click("#map-in")
        try browser.click("#map-in")
        #expect(try browser.number("document.querySelectorAll('#map rect').length") == 1)
        try browser.click("#map-out")
        try browser.click("#map-all")
        #expect(try browser.number("document.querySelectorAll('#map rect').length") == 2)
        try browser.click("#holes tbody tr")
        try browser.click("#slots tbody tr")
        try browser.click("#findings li")
        try browser.type("h", into: "body")
        #expect(try browser.number("performance.getEntriesByType('resource').length") == 0)
        #expect(try browser.console() == [])
    }

    @Test("failed calls are explained, and text of a log is only text")
    func failures() throws {
        let log = try scratch.write(
            (String(contentsOf: Repository.fixture("field/bit32.log"), encoding: .utf8)
                + "# scenario </script><b>x\n").utf8, to: "odd.log")
        let browser = try WebDriver()
        try browser.open(page(log))
        #expect(try browser.text("failures").contains("slot 33 overlaps slot 0"))
        #expect(try browser.text("name") == "<-script><b>x")
        #expect(try browser.console() == [])
    }

    @Test("10,000 transactions on 512 slots are under 5 MB, and open")
    func large() throws {
        var text = "1 1700000000.000000 ioctl(3, KVM_CREATE_VM, 0) = 4\n"
        var time = 1_700_000_000_000_000
        func set(_ slot: Int, _ size: Int, _ pause: Int) {
            time += pause
            let fraction = String(String(time % 1_000_000 + 1_000_000).dropFirst())
            let address = UInt64(slot) << 24
            text +=
                "1 \(time / 1_000_000).\(fraction) ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=\(slot), flags=0, "
                + "guest_phys_addr=0x\(String(address, radix: 16)), memory_size=\(size), "
                + "userspace_addr=0x\(String(0x7f00_0000_0000 + address, radix: 16))}) = 0 <0.000020>\n"
        }
        for slot in 0..<512 { set(slot, 1 << 20, 20) }
        for number in 0..<10_000 {
            let slot = number * 7 % 512
            set(slot, 0, 20_000)
            set(slot, number % 2 == 0 ? 1 << 19 : 1 << 20, 30)
        }
        let log = try scratch.write(text.utf8, to: "large.log")
        let page = try page(log)
        let size = try #require(FileManager.default.attributesOfItem(atPath: page)[.size] as? Int)
        #expect(size < 5_000_000)
        let browser = try WebDriver()
        try browser.open(page)
        #expect(try browser.text("moment").hasPrefix("after transaction 10001 of 10001"))
        #expect(try browser.number("document.querySelectorAll('#slots tbody tr').length") == 512)
        let opening = try browser.number(
            "Math.round(performance.getEntriesByType('navigation')[0].loadEventEnd)")
        print("a page of \(size) bytes opened in \(opening) ms")
        try browser.click("#previous")
        #expect(try browser.text("moment").hasPrefix("after transaction 10000 of 10001"))
        #expect(try browser.console() == [])
    }
}
