import Memslots

/// The dirty bitmap of an installed slot, without memory for what was never touched.
///
/// The kernel allocates two bits a page when logging goes on. A simulated VM may have hundreds of
/// slots of 8 TiB, so pages stand in chunks of 32,768, and a chunk whose pages are all alike has
/// no words.
struct DirtyPages: Sendable {
    /// How many pages the slot has.
    let pageCount: UInt64
    /// Whether the pages are dirty while there are no chunks.
    private var background: Bool
    /// Empty until a page differs from the others.
    private var chunks: [Chunk] = []

    private enum Chunk: Sendable {
        case clean
        case dirty
        case mixed([UInt64])
    }

    private static let pagesPerChunk: UInt64 = 32_768

    /// A log of `pageCount` pages, all clean or all dirty.
    init(pageCount: UInt64, startsFull: Bool) {
        self.pageCount = pageCount
        self.background = startsFull
    }

    /// The log as the kernel's bitmap.
    var bitmap: DirtyBitmap {
        if chunks.isEmpty, !background { return DirtyBitmap(pageCount: pageCount) }
        let wordCount = Int((pageCount + 63) / 64)
        if chunks.isEmpty {
            return DirtyBitmap(
                pageCount: pageCount, words: Array(repeating: ~0, count: wordCount))
        }
        var words: [UInt64] = []
        words.reserveCapacity(wordCount)
        for index in chunks.indices { words += self.words(ofChunk: index) }
        return DirtyBitmap(pageCount: pageCount, words: words)
    }

    /// Marks every page clean.
    mutating func removeAll() {
        background = false
        chunks = []
    }

    /// Marks `pages` dirty.
    ///
    /// - Precondition: they lie within ``pageCount``.
    mutating func insert(_ pages: Range<UInt64>) {
        guard !pages.isEmpty else { return }
        splitIntoChunks()
        let first = Int(pages.lowerBound / Self.pagesPerChunk)
        let last = Int((pages.upperBound - 1) / Self.pagesPerChunk)
        for index in first...last {
            let chunk = range(ofChunk: index)
            let part = pages.clamped(to: chunk)
            if part == chunk {
                chunks[index] = .dirty
            } else {
                insert(
                    part.lowerBound - chunk.lowerBound..<part.upperBound - chunk.lowerBound, index)
            }
        }
    }

    /// Marks the pages clean whose bits are set in `words`, the first of which is for
    /// `firstPage`. Bits past the slot are passed over.
    ///
    /// - Precondition: `firstPage` is a multiple of 64.
    mutating func remove(_ words: some Sequence<UInt64>, from firstPage: UInt64) {
        splitIntoChunks()
        var page = firstPage
        for word in words {
            guard page < pageCount else { return }
            defer { page += 64 }
            let index = Int(page / Self.pagesPerChunk)
            if word == 0 { continue }
            if case .clean = chunks[index] { continue }
            mutateWords(ofChunk: index) { $0[Int(page % Self.pagesPerChunk / 64)] &= ~word }
        }
    }

    private mutating func insert(_ pages: Range<UInt64>, _ index: Int) {
        if case .dirty = chunks[index] { return }
        mutateWords(ofChunk: index) { words in
            for word in Int(pages.lowerBound / 64)...Int((pages.upperBound - 1) / 64) {
                var mask = ~UInt64(0)
                let start = UInt64(word) * 64
                if start < pages.lowerBound { mask &= ~0 << (pages.lowerBound - start) }
                if start + 64 > pages.upperBound { mask &= ~0 >> (start + 64 - pages.upperBound) }
                words[word] |= mask
            }
        }
    }

    private mutating func splitIntoChunks() {
        guard chunks.isEmpty else { return }
        let count = (pageCount + Self.pagesPerChunk - 1) / Self.pagesPerChunk
        chunks = Array(repeating: background ? .dirty : .clean, count: Int(count))
    }

    private func range(ofChunk index: Int) -> Range<UInt64> {
        let start = UInt64(index) * Self.pagesPerChunk
        return start..<min(start + Self.pagesPerChunk, pageCount)
    }

    private func words(ofChunk index: Int) -> [UInt64] {
        let count = (range(ofChunk: index).count + 63) / 64
        switch chunks[index] {
        case .clean: return Array(repeating: 0, count: count)
        case .dirty: return Array(repeating: ~0, count: count)
        case .mixed(let words): return words
        }
    }

    private mutating func mutateWords(ofChunk index: Int, _ body: (inout [UInt64]) -> Void) {
        var words = words(ofChunk: index)
        // Let go of the chunk's reference, so that the words are changed in place.
        chunks[index] = .clean
        body(&words)
        chunks[index] = .mixed(words)
    }
}
