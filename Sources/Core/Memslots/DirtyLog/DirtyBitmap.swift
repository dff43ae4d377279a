/// A bit a page of one slot: which pages the guest wrote.
///
/// Page 0 is the slot's first. A slot may have 2^31 pages, so the bits are kept in chunks of 32,768
/// pages. A chunk whose pages are all alike has no words, so a bitmap grows with what was written,
/// not with the slot. Kernel: the bitmap of `KVM_GET_DIRTY_LOG`.
public struct DirtyBitmap: Sendable {
    /// How many pages the bitmap covers.
    public let pageCount: UInt64
    /// What all pages are while there are no chunks.
    private var background: BitmapChunk
    /// Empty until a page differs from the others.
    private var chunks: [BitmapChunk] = []

    /// A bitmap of `pageCount` pages, all alike: none of them dirty, or with `isFull` all.
    public init(pageCount: UInt64, isFull: Bool = false) {
        self.pageCount = pageCount
        self.background = isFull ? .dirty : .clean
    }

    /// A bitmap of the kernel's words: 64 pages a word, the first page in the lowest bit.
    ///
    /// - Precondition: there are exactly as many words as `pageCount` pages need. Bits past
    ///   `pageCount` are ignored.
    public init(pageCount: UInt64, words: [UInt64]) {
        precondition(words.count == Int((pageCount + 63) / 64), "one bit a page")
        self.init(pageCount: pageCount)
        for first in stride(from: 0, to: words.count, by: BitmapChunk.wordCount) {
            let part = words[first..<min(first + BitmapChunk.wordCount, words.count)]
            let pages = range(ofChunk: first / BitmapChunk.wordCount)
            chunks.append(BitmapChunk(Array(part), pageCount: UInt64(pages.count)))
        }
    }

    /// Whether no page is dirty.
    public var isEmpty: Bool {
        if chunks.isEmpty { return background.isClean || pageCount == 0 }
        return chunks.allSatisfy(\.isClean)
    }

    /// How many pages are dirty.
    public var count: UInt64 {
        if chunks.isEmpty { return background.count(of: pageCount) }
        return chunks.indices.reduce(0) { $0 + chunks[$1].count(of: size(ofChunk: $1)) }
    }

    /// Whether `page` is dirty.
    ///
    /// - Precondition: it lies within ``pageCount``.
    public func contains(_ page: UInt64) -> Bool {
        precondition(page < pageCount, "page within the slot")
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
        if other.chunks.isEmpty {
            if !other.background.isClean { self = other }
            return
        }
        splitIntoChunks()
        for index in chunks.indices {
            chunks[index].formUnion(other.chunks[index], pageCount: size(ofChunk: index))
        }
    }

    /// Marks the pages clean whose bits are set in `words`, of which the first begins at
    /// `firstPage`. Bits past the slot are ignored.
    ///
    /// - Precondition: `firstPage` is a multiple of 64.
    public mutating func remove(_ words: some Sequence<UInt64>, from firstPage: UInt64) {
        precondition(firstPage % 64 == 0, "whole words")
        splitIntoChunks()
        var page = firstPage
        for word in words {
            guard page < pageCount else { return }
            defer { page += 64 }
            if word == 0 { continue }
            let index = Int(page / BitmapChunk.pageCount)
            chunks[index].remove(
                word, at: Int(page % BitmapChunk.pageCount / 64), pageCount: size(ofChunk: index))
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
        if chunks.isEmpty {
            return background.isClean || pageCount == 0 ? [] : [0..<pageCount]
        }
        for index in chunks.indices {
            let pages = range(ofChunk: index)
            chunks[index].forEachRun(of: UInt64(pages.count)) {
                append(pages.lowerBound + $0.lowerBound..<pages.lowerBound + $0.upperBound)
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
        for page in stride(from: pages.lowerBound, to: pages.upperBound, by: 64) {
            let word = chunk(Int(page / BitmapChunk.pageCount))
                .word(Int(page % BitmapChunk.pageCount / 64))
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
            background = value
            chunks = []
            return
        }
        if chunks.isEmpty && background.isClean == value.isClean { return }
        splitIntoChunks()
        let first = Int(pages.lowerBound / BitmapChunk.pageCount)
        let last = Int((pages.upperBound - 1) / BitmapChunk.pageCount)
        for index in first...last {
            let own = range(ofChunk: index)
            let part = pages.clamped(to: own)
            if part == own {
                chunks[index] = value
            } else {
                let local = part.lowerBound - own.lowerBound..<part.upperBound - own.lowerBound
                chunks[index].set(local, to: value, pageCount: UInt64(own.count))
            }
        }
    }

    private mutating func splitIntoChunks() {
        guard chunks.isEmpty else { return }
        let count = (pageCount + BitmapChunk.pageCount - 1) / BitmapChunk.pageCount
        chunks = Array(repeating: background, count: Int(count))
    }

    private func chunk(_ index: Int) -> BitmapChunk {
        chunks.isEmpty ? background : chunks[index]
    }

    private func range(ofChunk index: Int) -> Range<UInt64> {
        let start = UInt64(index) * BitmapChunk.pageCount
        return start..<min(start + BitmapChunk.pageCount, pageCount)
    }

    private func size(ofChunk index: Int) -> UInt64 { UInt64(range(ofChunk: index).count) }
}

extension DirtyBitmap: Equatable {
    /// Whether the same pages of as many are dirty.
    public static func == (left: DirtyBitmap, right: DirtyBitmap) -> Bool {
        guard left.pageCount == right.pageCount else { return false }
        var (left, right) = (left, right)
        if left.chunks.isEmpty && right.chunks.isEmpty {
            return left.isEmpty == right.isEmpty
        }
        left.splitIntoChunks()
        right.splitIntoChunks()
        return left.chunks == right.chunks
    }
}

/// The bits below `count`, all of them from 64 on.
func mask(of count: UInt64) -> UInt64 { count >= 64 ? ~0 : (1 << count) - 1 }
