import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotTrace
import Memslots

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Explain why slot calls failed: the rule, what the call met, what would work.",
        usage: """
            memslotctl explain [--array <file>] <input>
            memslotctl explain --errno <errno> --slot <n> --gpa <address> --size <size> …
            """,
        discussion: """
            INPUT is a line of a log in quotes, or a file that memslotctl report reads: each failed \
            call is explained with the array at its place. Or give the words of one call; without \
            --errno the rules that it breaks are printed.

            Where the rule is not proved, the possible causes are listed.
            """)

    @Option(help: "The errno of the call: its name.") var errno: String?

    @Option(help: "The slot word: the id, and in the upper 16 bits the address space.")
    var slot: Quantity?

    @Option(help: "The guest physical address.") var gpa: Quantity?
    @Option(help: "The size; 0 deletes.") var size: Quantity?
    @Option(help: "The user address.") var hva: Quantity?

    @Option(help: "The flags: a number, or names joined by |, as strace prints them.")
    var flags: String?

    @Option(help: "The guest_memfd of a KVM_SET_USER_MEMORY_REGION2 call; -1 for none.")
    var guestMemfd: Int32?

    @Option(help: "The offset in the guest_memfd.") var guestMemfdOffset: Quantity?

    @Option(help: "The array that the call met; by default the log's.", completion: .file())
    var array: String?

    @OptionGroup(title: "Rules") var rules: OfflineRules

    @Option(help: "The VM's flags, by commas: log-dirty-pages, readonly, guest-memfd, or none.")
    var vmFlags: String?

    @Argument(help: "A line of a log, or a file; - is standard input.", completion: .file())
    var input: String?

    private var hasWords: Bool { slot != nil || gpa != nil || size != nil }

    func validate() throws {
        try require(
            (input == nil) != (errno == nil && !hasWords),
            "give a line or a file, or the words of a call")
        try require(
            !hasWords || (slot != nil && gpa != nil && size != nil),
            "a call needs --slot, --gpa and --size")
        try require(errno.map { Errno(name: $0) != nil } ?? true, "--errno: a name, such as EINVAL")
        try require(flagBits != nil, "--flags: a number, or names joined by |")
        try require((slot?.value ?? 0) <= UInt64(UInt32.max), "--slot: 32 bits")
    }

    func run() throws {
        let file = try array.map { try ArrayFile.read($0) }
        let used = try rules.rules(for: [file].compactMap(\.self), flags: vmFlags)
        let met = file.map { PicturedArray($0.slots) }
        if let file, let met { try file.check(met, used) }
        let slots = met?.slots
        guard let input else { return try explainWords(slots, used) }
        var options = TraceImporter.Options()
        options.array = slots
        options.acceptsUndecoded = true
        let read = try EvidenceInput(input, options, mayBeText: true)
        guard case .calls(let result) = read.evidence else {
            throw UnusableFile("\(read.name): shows no calls")
        }
        let lines = result.report.failureLines + result.report.faultLines
        Terminal.print(lines.isEmpty ? ["\(read.name): no failed call"] : lines)
    }

    private func explainWords(_ slots: [Memslot]?, _ used: UsedRules) throws {
        guard hasWords else { return Terminal.print("\(Explanation(errno: errno ?? ""))") }
        let region = RawRegion(
            slot: UInt32(slot?.value ?? 0), flags: flagBits ?? 0,
            guestPhysicalAddress: gpa?.value ?? 0, memorySize: size?.value ?? 0,
            userspaceAddress: hva?.value ?? 0,
            guestMemfd: guestMemfd.map { $0 < 0 ? .none : .file(index: UInt32($0)) }
                ?? ((flagBits ?? 0) & 4 != 0 ? RawGuestMemfd.none : nil),
            guestMemfdOffset: guestMemfdOffset?.value ?? 0)
        defer { Terminal.print(used.description) }
        var call = AttemptedCall(
            region, slots: slots ?? [], limits: used.source == "any host" ? .likely : used.limits)
        call.hasUserAddress = hva != nil
        if let errno {
            return Terminal.print("\(Explanation(call, errno: errno, isWhole: slots != nil))")
        }
        let refusals = call.refusals
        for refusal in refusals {
            Terminal.print("\(refusal.rule.errno(on: call.limits)): \(refusal.text).")
        }
        if refusals.isEmpty { Terminal.print("no rule refuses the call") }
    }

    /// The bits of `--flags`; `nil` for a name that no flag has.
    private var flagBits: UInt32? {
        guard let flags else { return 0 }
        var bits: UInt32 = 0
        for word in flags.split(whereSeparator: { $0 == "|" || $0 == "," }).map(String.init) {
            let named = MemslotFlags.kernelNames[word] ?? MemslotFlags.named(word)
            let number = Quantity(argument: word).flatMap { UInt32(exactly: $0.value) }
            guard let bit = named?.rawValue ?? number else { return nil }
            bits |= bit
        }
        return bits
    }
}
