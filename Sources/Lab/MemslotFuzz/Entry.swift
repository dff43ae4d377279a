import Glibc

#if FUZZING
    /// The target that `MEMSLOT_FUZZ` names.
    private let target: FuzzTarget = {
        guard let name = getenv("MEMSLOT_FUZZ"),
            let target = FuzzTarget(rawValue: String(cString: name))
        else { fatalError("MEMSLOT_FUZZ names none of \(FuzzTarget.allCases)") }
        return target
    }()

    /// Called by libFuzzer with each input.
    @_cdecl("LLVMFuzzerTestOneInput")
    package func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
        let bytes = Array(UnsafeBufferPointer(start: start, count: count))
        if let broken = target.run(bytes) { fatalError(broken) }
        return 0
    }
#else
    /// Without libFuzzer: makes the corpus, and runs inputs that are in files.
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
