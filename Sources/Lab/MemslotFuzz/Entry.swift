import Glibc
import MemslotTestKit

#if FUZZING
    /// The target that `MEMSLOT_FUZZ` names.
    private let target: FuzzTarget = {
        guard let name = getenv("MEMSLOT_FUZZ"),
            let target = FuzzTarget(rawValue: String(cString: name))
        else { fatalError("MEMSLOT_FUZZ names none of \(FuzzTarget.allCases)") }
        return target
    }()

    @_cdecl("LLVMFuzzerTestOneInput")
    package func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
        let bytes = Array(UnsafeBufferPointer(start: start, count: count))
        if let broken = target.run(bytes) { fatalError(broken) }
        return 0
    }
#else
    /// Without libFuzzer: writes the corpus, and runs inputs from files.
    @main
    struct Entry {
        static func main() {
            let words = Array(CommandLine.arguments.dropFirst())
            if words.count == 3, words[0] == "corpus" {
                exit(Corpus.write(from: words[1], to: words[2]) ? 0 : 1)
            }
            guard words.count >= 2, let target = FuzzTarget(rawValue: words[0]) else {
                print(
                    """
                    usage: MemslotFuzz corpus FIXTURES FOLDER   write each target's first inputs
                           MemslotFuzz TARGET FILE...           run inputs
                    TARGET: \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))
                    """)
                exit(64)
            }
            var isClean = true
            for name in words.dropFirst() {
                guard let bytes = Files.read(name) else {
                    print("\(name): can't be read")
                    isClean = false
                    continue
                }
                if let broken = target.run(bytes) {
                    print("\(name): \(broken)")
                    isClean = false
                }
            }
            exit(isClean ? 0 : 1)
        }
    }
#endif

/// Accepts every input, and returns the promise that was broken, if any. libFuzzer itself detects
/// traps, leaks, and inputs that need seconds or much memory.
enum FuzzTarget: String, CaseIterable {
    case messages, scenarios, traces, evidence, plans, lines, replies

    /// Feeds `bytes` to the target. Returns the broken promise; `nil` if all held.
    func run(_ bytes: [UInt8]) -> String? {
        switch self {
        case .messages: MessageFuzz.run(bytes)
        case .scenarios: ScenarioFuzz.run(bytes)
        case .traces: TraceFuzz.run(bytes)
        case .evidence: EvidenceFuzz.run(bytes)
        case .plans: PlanFuzz.run(bytes)
        case .lines: LineFuzz.run(bytes)
        case .replies: ReplyFuzz.run(bytes)
        }
    }
}

/// Bytes from which choices are read; after the end every choice is 0.
struct FuzzBytes {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }
    var isAtEnd: Bool { position >= bytes.count }
    var rest: ArraySlice<UInt8> { bytes[min(position, bytes.count)...] }

    mutating func byte() -> UInt8 {
        defer { position += 1 }
        return position < bytes.count ? bytes[position] : 0
    }

    /// The next `count` bytes, or as many as are left.
    mutating func bytes(_ count: Int) -> ArraySlice<UInt8> {
        let next = rest.prefix(count)
        position += next.count
        return next
    }

    mutating func number(below limit: UInt64) -> UInt64 { UInt64(byte()) % limit }
}
