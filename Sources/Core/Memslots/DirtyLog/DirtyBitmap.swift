/// A bit a page of one slot: which pages the guest wrote.
///
/// Page 0 is the slot's first. A slot may have 2^31 pages, and a bitmap costs what was written, not
/// the slot's size: up to 64 dirty pages are a list, and more stand in those chunks of 32,768
/// pages that have any. Kernel: the bitmap of `KVM_GET_DIRTY_LOG`.
public struct DirtyBitmap: Sendable {
    /// How many pages the bitmap covers.
    public let pageCount: UInt64
    private var dirty: Pages

    private enum Pages: Sendable {
        case none
        case all
        case few([UInt32])
        /// Ascending; none of them is clean.
        case chunks([NumberedChunk])
    }

    private struct NumberedChunk: Equatable, Sendable {
        var chunk: BitmapChunk
        let index: UInt32
    }

    /// The most pages of a list. Their numbers have 32 bits.
    private var fewPages: Int { pageCount <= UInt64(UInt32.max) ? 64 : 0 }

    /// A bitmap of `pageCount` pages, all alike: none of them dirty, or with `isFull` all.
    public init(pageCount: UInt64, isFull: Bool = false) {
        self.pageCount = pageCount
        dirty = isFull && pageCount > 0 ? .all : .none
    }

    /// A bitmap of the kernel's words: 64 pages a word, the first page in the lowest bit.
    ///
    /// - Precondition: there are exactly as many words as `pageCount` pages need. Bits past
    ///   `pageCount` are ignored.
    public init(pageCount: UInt64, words: [UInt64]) {
        precondition(words.count == Int((pageCount + 63) / 64), "one bit a page")
        self.init(pageCount: pageCount)
        var chunks: [NumberedChunk] = []
        for first in stride(from: 0, to: words.count, by: BitmapChunk.wordCount) {
            let part = words[first..<min(first + BitmapChunk.wordCount, words.count)]
            let index = UInt32(first / BitmapChunk.wordCount)
            let chunk = BitmapChunk(Array(part), pageCount: Self.size(index, of: pageCount))
            if !chunk.isClean { chunks.append(NumberedChunk(chunk: chunk, index: index)) }
        }
        dirty = chunks.isEmpty ? .none : .chunks(chunks)
        if count <= UInt64(fewPages) {
            let runs = runs
            dirty = .none
            for run in runs { insert(run) }
        }
    }

    /// Whether no page is dirty.
    public var isEmpty: Bool { if case .none = dirty { true } else { false } }

    /// How many pages are dirty.
    public var count: UInt64 {
        switch dirty {
        case .none: 0
        case .all: pageCount
        case .few(let pages): UInt64(pages.count)
        case .chunks(let chunks):
            chunks.reduce(0) { $0 + $1.chunk.count(of: Self.size($1.index, of: pageCount)) }
        }
    }

    /// Whether `page` is dirty.
    ///
    /// - Precondition: it lies within ``pageCount``.
    public func contains(_ page: UInt64) -> Bool {
        precondition(page < pageCount, "page within the slot")
        if case .few(let pages) = dirty { return pages.contains(page: page) }
        return chunk(Int(page / BitmapChunk.pageCount)).contains(page % BitmapChunk.pageCount)
    }

    /// Marks `pages` dirty.
    ///
    /// - Precondition: they lie within ``pageCount``.
    public mutating func insert(_ pages: Range<UInt64>) { set(pages, to: .dirty) }

    /// Marks `pages` clean.
    ///
    /// - Precondition: they lie within ``pageCount``.
    public mutating func remove(_ pages: Range<UInt64>) { set(pages, to: .clean) }

    /// Marks every page dirty that is dirty in `other`.
    ///
    /// - Precondition: both cover the same number of pages.
    public mutating func formUnion(_ other: DirtyBitmap) {
        precondition(other.pageCount == pageCount, "bitmaps of one slot")
        switch (dirty, other.dirty) {
        case (.all, _), (_, .none): return
        case (.none, _), (_, .all): dirty = other.dirty
        case (_, .few(let more)): more.forEachRun { insert($0) }
        case (.few(let own), .chunks):
            dirty = other.dirty
            own.forEachRun { insert($0) }
        case (.chunks, .chunks(let more)):
            mutateChunks { [pageCount] chunks in
                for added in more {
                    let position = Self.position(of: Int(added.index), in: chunks)
                    if position < chunks.count, chunks[position].index == added.index {
                        chunks[position].chunk.formUnion(
                            added.chunk, pageCount: Self.size(added.index, of: pageCount))
                    } else {
                        chunks.insert(added, at: position)
                    }
                }
            }
        }
    }

    /// Marks the pages clean whose bits are set in `words`, of which the first begins at
    /// `firstPage`. Bits past the slot are ignored.
    ///
    /// - Precondition: `firstPage` is a multiple of 64.
    public mutating func remove(_ words: some Sequence<UInt64>, from firstPage: UInt64) {
        precondition(firstPage % 64 == 0, "whole words")
        if isEmpty { return }
        mutateChunks { [pageCount] chunks in
            var page = firstPage
            for word in words {
                guard page < pageCount else { return }
                defer { page += 64 }
                if word == 0 { continue }
                let index = Int(page / BitmapChunk.pageCount)
                let position = Self.position(of: index, in: chunks)
                guard position < chunks.count, chunks[position].index == index else { continue }
                chunks[position].chunk.remove(
                    word, at: Int(page % BitmapChunk.pageCount / 64),
                    pageCount: Self.size(chunks[position].index, of: pageCount))
            }
        }
    }

    /// The dirty pages as runs, ascending; touching pages are one run.
    public var runs: [Range<UInt64>] {
        var runs: [Range<UInt64>] = []
        func append(_ run: Range<UInt64>) {
            if let last = runs.last, last.upperBound == run.lowerBound {
                runs[runs.count - 1] = last.lowerBound..<run.upperBound
            } else {
                runs.append(run)
            }
        }
        switch dirty {
        case .none: break
        case .all: append(0..<pageCount)
        case .few(let pages): pages.forEachRun(append)
        case .chunks(let chunks):
            for entry in chunks {
                let pages = Self.range(entry.index, of: pageCount)
                entry.chunk.forEachRun(of: UInt64(pages.count)) {
                    append(pages.lowerBound + $0.lowerBound..<pages.lowerBound + $0.upperBound)
                }
            }
        }
        return runs
    }

    /// The kernel's words of `pages`: 64 pages a word, `pages.lowerBound` in the lowest bit of the
    /// first. Bits past `pages` are clear.
    ///
    /// - Precondition: `pages` begins at a multiple of 64 and lies within ``pageCount``.
    public func words(of pages: Range<UInt64>) -> [UInt64] {
        precondition(pages.lowerBound % 64 == 0, "whole words")
        precondition(pages.upperBound <= pageCount, "page within the slot")
        var words: [UInt64] = []
        words.reserveCapacity((pages.count + 63) / 64)
        var (chunk, end) = (BitmapChunk.clean, pages.lowerBound)
        for page in stride(from: pages.lowerBound, to: pages.upperBound, by: 64) {
            if page >= end {
                let index = Int(page / BitmapChunk.pageCount)
                (chunk, end) = (self.chunk(index), UInt64(index + 1) * BitmapChunk.pageCount)
            }
            let word = chunk.word(Int(page % BitmapChunk.pageCount / 64))
            words.append(word & mask(of: pages.upperBound - page))
        }
        return words
    }

    /// The bits of `pages`, eight a byte, `pages.lowerBound` in the lowest bit of the first byte.
    ///
    /// - Precondition: they lie within ``pageCount``.
    public func bytes(of pages: Range<UInt64>) -> [UInt8] {
        precondition(pages.upperBound <= pageCount, "page within the slot")
        guard !pages.isEmpty else { return [] }
        let words = words(of: pages.lowerBound / 64 * 64..<pages.upperBound)
        let shift = pages.lowerBound % 64
        let byteCount = (pages.count + 7) / 8
        var bytes: [UInt8] = []
        bytes.reserveCapacity(byteCount + 8)
        for index in words.indices where bytes.count < byteCount {
            let next = index + 1 < words.count ? words[index + 1] : 0
            let word = words[index] >> shift | (shift == 0 ? 0 : next << (64 - shift))
            for byte in 0..<8 as Range<UInt64> {
                bytes.append(UInt8(truncatingIfNeeded: word >> (byte * 8)))
            }
        }
        return Array(bytes.prefix(byteCount))
    }

    private mutating func set(_ pages: Range<UInt64>, to value: BitmapChunk) {
        precondition(pages.upperBound <= pageCount, "page within the slot")
        guard !pages.isEmpty else { return }
        if pages == 0..<pageCount {
            dirty = value.isClean ? .none : .all
            return
        }
        switch dirty {
        case .none where value.isClean: return
        case .all where !value.isClean: return
        case .none where pages.count <= fewPages: setFew([], pages, to: value)
        case .few(let own) where value.isClean || own.count + pages.count <= fewPages:
            dirty = .none
            setFew(own, pages, to: value)
        default: mutateChunks { [pageCount] in Self.set(pages, to: value, in: &$0, of: pageCount) }
        }
    }

    private mutating func setFew(_ own: [UInt32], _ pages: Range<UInt64>, to value: BitmapChunk) {
        var own = own
        if value.isClean { own.remove(pages: pages) } else { own.insert(pages: pages) }
        dirty = own.isEmpty ? .none : own.count == Int(pageCount) ? .all : .few(own)
    }

    private static func set(
        _ pages: Range<UInt64>, to value: BitmapChunk, in chunks: inout [NumberedChunk],
        of pageCount: UInt64
    ) {
        let first = Int(pages.lowerBound / BitmapChunk.pageCount)
        let last = Int((pages.upperBound - 1) / BitmapChunk.pageCount)
        var position = position(of: first, in: chunks)
        for index in first...last {
            let own = range(UInt32(index), of: pageCount)
            let part = pages.clamped(to: own)
            if position == chunks.count || chunks[position].index != index {
                if value.isClean { continue }
                chunks.insert(NumberedChunk(chunk: .clean, index: UInt32(index)), at: position)
            }
            if part == own {
                chunks[position].chunk = value
            } else {
                let local = part.lowerBound - own.lowerBound..<part.upperBound - own.lowerBound
                chunks[position].chunk.set(local, to: value, pageCount: UInt64(own.count))
            }
            position += 1
        }
    }

    /// Changes the chunks in place; those that are clean then are dropped.
    private mutating func mutateChunks(_ body: (inout [NumberedChunk]) -> Void) {
        var chunks: [NumberedChunk] = []
        switch dirty {
        case .none: break
        case .all:
            let count = (pageCount + BitmapChunk.pageCount - 1) / BitmapChunk.pageCount
            chunks = (0..<UInt32(count)).map { NumberedChunk(chunk: .dirty, index: $0) }
        case .few(let pages):
            pages.forEachRun { Self.set($0, to: .dirty, in: &chunks, of: pageCount) }
        case .chunks(let own): chunks = own
        }
        // Let go of the own reference.
        dirty = .none
        body(&chunks)
        if chunks.contains(where: \.chunk.isClean) { chunks.removeAll(where: \.chunk.isClean) }
        dirty = chunks.isEmpty ? .none : .chunks(chunks)
    }

    private func chunk(_ index: Int) -> BitmapChunk {
        switch dirty {
        case .none: return .clean
        case .all: return .dirty
        case .few(let pages):
            var chunk = BitmapChunk.clean
            let own = Self.range(UInt32(index), of: pageCount)
            pages.forEachRun { run in
                let part = run.clamped(to: own)
                guard !part.isEmpty else { return }
                let local = part.lowerBound - own.lowerBound..<part.upperBound - own.lowerBound
                chunk.set(local, to: .dirty, pageCount: UInt64(own.count))
            }
            return chunk
        case .chunks(let chunks):
            let position = Self.position(of: index, in: chunks)
            let isThere = position < chunks.count && chunks[position].index == index
            return isThere ? chunks[position].chunk : .clean
        }
    }

    /// Where the first chunk from number `index` on stands.
    private static func position(of index: Int, in chunks: [NumberedChunk]) -> Int {
        // Pages are mostly marked in ascending order.
        if let last = chunks.last, last.index < index { return chunks.count }
        return chunks.partitioningIndex { $0.index >= index }
    }

    private static func range(_ index: UInt32, of pageCount: UInt64) -> Range<UInt64> {
        let start = UInt64(index) * BitmapChunk.pageCount
        return start..<min(start + BitmapChunk.pageCount, pageCount)
    }

    private static func size(_ index: UInt32, of pageCount: UInt64) -> UInt64 {
        UInt64(range(index, of: pageCount).count)
    }
}

extension DirtyBitmap: Equatable {
    /// Whether the same pages of as many are dirty.
    public static func == (left: DirtyBitmap, right: DirtyBitmap) -> Bool {
        guard left.pageCount == right.pageCount else { return false }
        if case .chunks(let own) = left.dirty, case .chunks(let others) = right.dirty {
            return own == others
        }
        return left.runs == right.runs
    }
}

/// The bits below `count`, all of them from 64 on.
func mask(of count: UInt64) -> UInt64 { count >= 64 ? ~0 : (1 << count) - 1 }
