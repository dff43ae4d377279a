import Foundation
import TestSupport
import Testing

/// The page of `memslotctl report -o`, in a browser: its content is read from the document.
@Suite(
    "The page of a report in a browser", .serialized,
    .enabled(
        if: Executable.memslotctl != nil && WebDriver.driver != nil && WebDriver.browser != nil,
        "needs chromium and chromedriver (Debian: chromium, chromium-driver), and memslotctl"))
struct PageTests {
    private static let left = "\u{E012}"
    private static let right = "\u{E014}"
    private static let home = "\u{E011}"
    private static let end = "\u{E010}"

    /// Five transactions on one VM, the third of which has a hole, a refused call, two slots on one
    /// host range; and one transaction on another VM.
    private static let log: String = {
        var log = LogText()
        log.line(10, "ioctl(8, KVM_CREATE_VM, 0) = 9")
        log.line(10, "ioctl(9, KVM_CREATE_VCPU, 0) = 13")
        log.set(0, at: 0, size: 0x4000_0000)
        log.line(11, "ioctl(13, KVM_RUN, 0 <unfinished ...>")
        log.set(1, at: 0xfee0_0000, size: 0x1000, user: 0x7e00_0000_0000)
        log.set(0, at: 0, size: 0, isNext: false)
        log.set(0, at: 0, size: 0x1000_0000, isNext: false)
        log.set(2, at: 0x1000_0000, size: 0x3000_0000)
        log.set(3, at: 0x3000_0000, size: 0x1000, result: "-1 EEXIST (File exists)")
        log.set(1, at: 0xfee0_0000, size: 0)
        log.set(4, at: 0x1_0000_0000, size: 0x10_0000, user: 0x7f00_0000_0000)
        log.line(10, "ioctl(8, KVM_CREATE_VM, 0) = 10")
        log.set(7, at: 0, size: 0x1000, user: 0x7d00_0000_0000, machine: 10)
        return log.text
    }()

    /// Opens the page that `memslotctl report` makes of a log.
    private func page(of log: String) throws -> (browser: WebDriver, bytes: Int, seconds: Double) {
        let scratch = try ScratchDirectory()
        let input = try scratch.write(log.utf8, to: "a-log")
        let output = scratch.path("page.html")
        let result = try CommandRun(["report", "-o", output, input], in: scratch.path).outcome()
        try #require(result.status == 0, "\(result.errors)")
        let browser = try WebDriver()
        let begin = ContinuousClock.now
        try browser.open(output)
        let seconds = (ContinuousClock.now - begin) / .seconds(1)
        let size = try FileManager.default.attributesOfItem(atPath: output)[.size] as? Int ?? 0
        return (browser, size, seconds)
    }

    @Test("every control works, without an error on the console", .timeLimit(.minutes(10)))
    func controls() throws {
        let page = try page(of: Self.log).browser
        func moment() throws -> String { try page.text(of: "#moment") }
        func index() throws -> String { try page.string("document.querySelector('#slider').value") }
        #expect(try page.text(of: "#name") == "a-log")
        #expect(try page.text(of: "#headline").hasPrefix("1 GiB of guest memory was missing"))
        #expect(try moment().hasPrefix("after transaction 5 of 5, line 11"))

        // Buttons, slider and keys move in time.
        try page.click("#first")
        #expect(try moment().hasPrefix("after transaction 1 of 5"))
        #expect(try page.count("#slots tbody tr") == 1)
        try page.click("#next")
        #expect(try page.text(of: "#slots tbody").contains("0xfee00000-0xfee00fff"))
        try page.click("#last")
        try page.click("#previous")
        #expect(try index() == "3")
        try page.press(Self.left + Self.left, on: "#slider")
        #expect(try moment().hasPrefix("after transaction 2 of 5"))
        try page.click("#next-hole")
        #expect(try moment().hasPrefix("after transaction 3 of 5"))
        try page.value("document.activeElement.blur()")
        try page.press(Self.home)
        #expect(try index() == "0")
        try page.press("h" + Self.right)
        #expect(try index() == "3")
        try page.press(Self.end + Self.left)
        #expect(try index() == "3")

        // Before → after: both halves of the split come from the old slot.
        try page.press(Self.home + "h")
        let pieces = try page.text(of: "#pieces tbody")
        #expect(pieces.contains("slot 0 0x0-0xfffffffslot 0 0x0-0xfffffff256 MiB"))
        #expect(pieces.contains("slot 0 0x10000000-0x3fffffffslot 2 0x10000000-0x3fffffff768 MiB"))
        #expect(try page.count("#plan li") == 3)

        // The time axis: zoom by buttons and keys; a click on a span shows its transaction.
        func scale() throws -> String { try page.text(of: "#axis svg > text:last-of-type") }
        let whole = try scale()
        try page.click("#time-in")
        #expect(try scale() != whole)
        try page.click("#time-out")
        try page.click("#time-all")
        #expect(try scale() == whole)
        try page.value("document.activeElement.blur()")
        try page.press("++")
        let near = try scale()
        try page.press("-")
        #expect(try scale() != near)
        try page.press("0")
        #expect(try scale() == whole)
        #expect(try page.count("#axis .hole.running") == 2)
        #expect(try page.count("#axis .failed") == 1)
        try page.click("#axis .transaction")
        #expect(try index() == "0")

        // What is at an address, when, on what.
        try page.press("/")
        #expect(try page.string("document.activeElement.id") == "address")
        try page.type("0xfee00000", into: "#address")
        try page.click("#find")
        let found = try page.text(of: "#found")
        #expect(found.contains("transactions 1–1: no memory"))
        #expect(found.contains("transactions 2–3: slot 1 at 0xfee00000-0xfee00fff, host 0x7e0000"))
        #expect(found.contains("transactions 4–5: no memory"))
        try page.click("#found li:nth-child(2)")
        #expect(try index() == "1")
        #expect(try page.count("#map .found") == 1)
        try page.type("0x12345678\n", into: "#address")
        #expect(try page.text(of: "#found").contains("missing between line 6 and line 8"))
        try page.type("nonsense", into: "#address")
        try page.click("#find")
        #expect(try page.text(of: "#found") == "an address is 0x… or decimal")

        // The map: zoom on what was found, a click on a slot searches it, a row shows its origin.
        try page.click("#map-all")
        let all = try page.count("#map rect")
        try page.type("0xfee00000\n", into: "#address")
        try page.click("#map-in")
        #expect(try page.count("#map rect") < all)
        try page.click("#map-out")
        try page.click("#map-all")
        #expect(try page.count("#map rect") == all)
        try page.click("#map rect")
        #expect(try page.text(of: "#found").hasPrefix("What is at 0x0:"))
        try page.click("#slots tbody tr")
        #expect(try index() == "0")

        // Explanations, findings and holes lead to their moment.
        #expect(try page.text(of: "#failures").contains("of slot 3 overlaps slot 2 at"))
        try page.click("#failures li")
        #expect(try moment().hasPrefix("after transaction 3 of 5"))
        try page.click("#findings li.warning")
        #expect(try page.text(of: "#findings").contains("map user memory 0x7f0000000000-"))
        #expect(try index() == "4")
        try page.click("#holes tbody tr")
        #expect(try moment().hasPrefix("after transaction 3 of 5"))

        // Another VM.
        try page.value(
            "(s => { s.value = 1; s.dispatchEvent(new Event('change')) })"
                + "(document.querySelector('#vm'))")
        #expect(try moment().hasPrefix("after transaction 1 of 1"))
        #expect(try page.text(of: "#slots tbody").contains("0x0-0xfff"))
        #expect(try page.console() == [])
    }

    @Test("a failed call and a finding of the second VM lead to the second VM")
    func machines() throws {
        var log = LogText()
        log.line(10, "ioctl(8, KVM_CREATE_VM, 0) = 9")
        log.set(0, at: 0, size: 0x1000)
        log.line(10, "ioctl(8, KVM_CREATE_VM, 0) = 10")
        log.set(1, at: 0, size: 0x1000, user: 0x7d00_0000_0000, machine: 10)
        log.set(2, at: 0x1000, size: 5, machine: 10, result: "-1 EINVAL (Invalid argument)")
        log.set(3, at: 0x8000, size: 0x1000, user: 0x7d00_0000_0000, machine: 10)
        let page = try page(of: log.text).browser
        for link in ["#failures li", "#findings li"] {
            try page.value(
                "(s => { s.value = 0; s.dispatchEvent(new Event('change')) })"
                    + "(document.querySelector('#vm'))")
            try page.click(link)
            #expect(try page.string("document.querySelector('#vm').value") == "1", "\(link)")
        }
        #expect(try page.console() == [])
    }

    @Test("dark, light and print")
    func colours() throws {
        let page = try page(of: Self.log).browser
        let back = "getComputedStyle(document.body).backgroundColor"
        let bar = "getComputedStyle(document.querySelector('.controls')).display"
        try page.emulate("screen", scheme: "light")
        #expect(try page.string(back) == "rgb(255, 255, 255)")
        try page.emulate("screen", scheme: "dark")
        #expect(try page.string(back) == "rgb(22, 24, 28)")
        #expect(try page.string(bar) == "flex")
        try page.emulate("print", scheme: "light")
        #expect(try page.string(bar) == "none")
        #expect(try page.pdf().starts(with: Data("%PDF".utf8)))
        #expect(try page.console() == [])
    }

    @Test("10,000 transactions on 512 slots are less than 5 MB", .timeLimit(.minutes(10)))
    func large() throws {
        var log = LogText()
        log.line(10, "ioctl(8, KVM_CREATE_VM, 0) = 9")
        for slot in 0..<512 { log.set(slot, at: UInt64(slot) << 21, size: 1 << 20, isNext: false) }
        for number in 0..<9_999 {
            let slot = number * 37 % 512
            log.pause()
            log.set(slot, at: UInt64(slot) << 21, size: 0, isNext: false)
            // A hole each time, and a change of every second.
            let flags = number & 1 == 0 ? "0" : "KVM_MEM_LOG_DIRTY_PAGES"
            log.set(slot, at: UInt64(slot) << 21, size: 1 << 20, flags: flags, isNext: false)
        }
        let (page, bytes, seconds) = try page(of: log.text)
        print("a page of 10,000 transactions on 512 slots: \(bytes) bytes, open in \(seconds) s")
        #expect(bytes < 5_000_000)
        #expect(try page.text(of: "#moment").hasPrefix("after transaction 10000 of 10000"))
        #expect(try page.count("#slots tbody tr") == 512)
        try page.click("#first")
        try page.type("0x3fe00000\n", into: "#address")
        #expect(try page.text(of: "#found").contains("slot 511 at 0x3fe00000-0x3fefffff"))
        #expect(try page.console() == [])
    }
}

/// A log of strace; each call begins a transaction of its own unless it follows one at once.
private struct LogText {
    var text = ""
    private var microseconds: UInt64 = 1_795_342_700_000_000

    mutating func pause() { microseconds += 20_000 }

    mutating func line(_ thread: Int, _ rest: String) {
        let fraction = String(microseconds % 1_000_000 + 1_000_000).dropFirst()
        text += "\(thread) \(microseconds / 1_000_000).\(fraction) \(rest)\n"
        microseconds += 10
    }

    /// - Parameter isNext: whether the next call belongs to another transaction.
    mutating func set(
        _ slot: Int, at address: UInt64, size: UInt64, user: UInt64? = nil, machine: Int = 9,
        flags: String = "0", result: String = "0", isNext: Bool = true
    ) {
        let user = user ?? 0x7f00_0000_0000 + address
        line(
            10,
            "ioctl(\(machine), KVM_SET_USER_MEMORY_REGION, {slot=\(slot), flags=\(flags), "
                + "guest_phys_addr=\(address), memory_size=\(size), userspace_addr=\(user)}) = "
                + result)
        if isNext { pause() }
    }
}
