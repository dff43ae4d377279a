/// The bits of 32,768 pages, or of fewer at a slot's end; without words where all are alike, or where
/// only few are dirty.
///
/// Kept in one form, so that equal bits are equal chunks.
enum BitmapChunk: Equatable, Sendable {
    case clean
    case dirty
    /// At most ``fewPages`` dirty pages.
    case few([UInt16])
    /// More, but not all.
    case mixed([UInt64])

    static let wordCount = 512
    static let pageCount = UInt64(wordCount) * 64
    /// With more dirty pages the words cost less than 128 bytes for each of them.
    static let fewPages = 40

    /// Creates a chunk of `words`. Bits past `pageCount` are ignored.
    init(_ words: [UInt64], pageCount: UInt64) {
        self = .mixed(words)
        normalize(pageCount)
    }

    var isClean: Bool { self == .clean }

    func word(_ index: Int) -> UInt64 {
        switch self {
        case .clean: 0
        case .dirty: ~0
        case .few(let pages): pages.word(from: UInt64(index) * 64)
        case .mixed(let words): words[index]
        }
    }

    func contains(_ page: UInt64) -> Bool {
        if case .few(let pages) = self { return pages.contains(page: page) }
        return word(Int(page / 64)) >> (page % 64) & 1 == 1
    }

    func count(of pageCount: UInt64) -> UInt64 {
        switch self {
        case .clean: 0
        case .dirty: pageCount
        case .few(let pages): UInt64(pages.count)
        case .mixed(let words): words.reduce(0) { $0 + UInt64($1.nonzeroBitCount) }
        }
    }

    /// Makes `pages` all clean or all dirty.
    mutating func set(_ pages: Range<UInt64>, to value: BitmapChunk, pageCount: UInt64) {
        if self == value { return }
        let isDirty = !value.isClean
        if isDirty, var own = fewPages, own.count + pages.count <= Self.fewPages {
            // Let go of the chunk's own reference, so that the list is changed in place.
            self = .clean
            own.insert(pages: pages)
            self = own.count == Int(pageCount) ? .dirty : .few(own)
            return
        }
        mutateWords(pageCount) { words in
            for index in Int(pages.lowerBound / 64)...Int((pages.upperBound - 1) / 64) {
                let start = UInt64(index) * 64
                let first = max(pages.lowerBound, start) - start
                let bits = mask(of: pages.upperBound - start) & ~mask(of: first)
                words[index] = isDirty ? words[index] | bits : words[index] & ~bits
            }
        }
    }

    /// The dirty pages, where they are a list.
    private var fewPages: [UInt16]? {
        switch self {
        case .clean: []
        case .few(let pages): pages
        case .dirty, .mixed: nil
        }
    }

    mutating func remove(_ bits: UInt64, at index: Int, pageCount: UInt64) {
        if isClean { return }
        mutateWords(pageCount) { $0[index] &= ~bits }
    }

    mutating func formUnion(_ other: BitmapChunk, pageCount: UInt64) {
        switch (self, other) {
        case (.dirty, _), (_, .clean): return
        case (.clean, _), (_, .dirty): self = other
        case (.mixed, .mixed(let more)):
            mutateWords(pageCount) { words in
                for index in words.indices { words[index] |= more[index] }
            }
        case (_, .few(let more)): more.forEachRun { set($0, to: .dirty, pageCount: pageCount) }
        case (.few(let own), .mixed):
            self = other
            own.forEachRun { set($0, to: .dirty, pageCount: pageCount) }
        }
    }

    /// Calls `body` for each run of dirty pages, ascending.
    func forEachRun(of pageCount: UInt64, _ body: (Range<UInt64>) -> Void) {
        switch self {
        case .clean: return
        case .dirty: body(0..<pageCount)
        case .few(let pages): pages.forEachRun(body)
        case .mixed(let words):
            var start: UInt64?
            for (index, word) in words.enumerated() {
                let base = UInt64(index) * 64
                // One bit decides for a word whose bits are all alike: most of a log is empty.
                for bit in 0..<(word == 0 || word == ~0 ? 1 : 64) as Range<UInt64> {
                    if word >> bit & 1 == 1 {
                        start = start ?? base + bit
                    } else if let from = start {
                        body(from..<base + bit)
                        start = nil
                    }
                }
            }
            if let from = start { body(from..<pageCount) }
        }
    }

    private mutating func mutateWords(_ pageCount: UInt64, _ body: (inout [UInt64]) -> Void) {
        let count = Int((pageCount + 63) / 64)
        var words: [UInt64]
        switch self {
        case .clean: words = Array(repeating: 0, count: count)
        case .dirty:
            words = Array(repeating: ~0, count: count)
            words[count - 1] = mask(of: pageCount - UInt64(count - 1) * 64)
        case .few(let pages):
            words = Array(repeating: 0, count: count)
            for page in pages { words[Int(page / 64)] |= 1 << (page % 64) }
        case .mixed(let own): words = own
        }
        // Let go of the chunk's own reference, so that the words are changed in place.
        self = .clean
        body(&words)
        self = .mixed(words)
        normalize(pageCount)
    }

    private mutating func normalize(_ pageCount: UInt64) {
        guard case .mixed(var words) = self, let last = words.indices.last else { return }
        let tail = mask(of: pageCount - UInt64(last) * 64)
        if words[last] & ~tail != 0 {
            words[last] &= tail
            self = .mixed(words)
        }
        let dirty = words.reduce(0) { $0 + $1.nonzeroBitCount }
        if dirty == 0 {
            self = .clean
        } else if dirty == Int(pageCount) {
            self = .dirty
        } else if dirty <= Self.fewPages {
            var pages: [UInt16] = []
            pages.reserveCapacity(dirty)
            forEachRun(of: pageCount) { pages.insert(pages: $0) }
            self = .few(pages)
        }
    }
}
