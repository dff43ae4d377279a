/// A bit a page of one slot: which pages the guest wrote.
///
/// Page 0 is the slot's first. Kernel: the bitmap of `KVM_GET_DIRTY_LOG`, whose words are these.
public struct DirtyBitmap: Hashable, Sendable {
    /// How many pages the bitmap covers.
    public let pageCount: UInt64
    /// 64 pages a word, the first page in the lowest bit. Bits past ``pageCount`` are clear.
    public private(set) var words: [UInt64]

    /// A bitmap of `pageCount` pages, none of them dirty.
    ///
    /// - Parameter pageCount: at most 2^31 − 1 for a slot that KVM takes, which is 256 MiB of bits.
    public init(pageCount: UInt64) {
        self.pageCount = pageCount
        self.words = Array(repeating: 0, count: Int((pageCount + 63) / 64))
    }

    /// A bitmap over the kernel's words.
    ///
    /// - Precondition: there are exactly as many words as `pageCount` pages need.
    public init(pageCount: UInt64, words: [UInt64]) {
        precondition(words.count == Int((pageCount + 63) / 64), "one bit a page")
        self.pageCount = pageCount
        self.words = words
        clearTail()
    }

    /// Whether no page is dirty.
    public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    /// How many pages are dirty.
    public var count: UInt64 { words.reduce(0) { $0 + UInt64($1.nonzeroBitCount) } }

    /// Whether `page` is dirty.
    public func contains(_ page: UInt64) -> Bool {
        words[Int(page / 64)] >> (page % 64) & 1 == 1
    }

    /// Marks `pages` dirty.
    ///
    /// - Precondition: they lie within ``pageCount``.
    public mutating func insert(_ pages: Range<UInt64>) {
        precondition(pages.upperBound <= pageCount, "page within the slot")
        forEachMask(of: pages) { words, index, mask in words[index] |= mask }
    }

    /// Marks `pages` clean.
    ///
    /// - Precondition: they lie within ``pageCount``.
    public mutating func remove(_ pages: Range<UInt64>) {
        precondition(pages.upperBound <= pageCount, "page within the slot")
        forEachMask(of: pages) { words, index, mask in words[index] &= ~mask }
    }

    /// Marks every page dirty that is dirty in `other`.
    ///
    /// - Precondition: both cover the same number of pages.
    public mutating func formUnion(_ other: DirtyBitmap) {
        precondition(other.pageCount == pageCount, "bitmaps of one slot")
        for index in words.indices { words[index] |= other.words[index] }
    }

    /// The dirty pages as runs, ascending; touching pages are one run.
    public var runs: [Range<UInt64>] {
        var runs: [Range<UInt64>] = []
        var page: UInt64 = 0
        while let start = next(dirty: true, from: page) {
            let end = next(dirty: false, from: start) ?? pageCount
            runs.append(start..<end)
            page = end
        }
        return runs
    }

    /// The bits of `pages`, eight a byte, `pages.lowerBound` in the lowest bit of the first byte.
    ///
    /// - Precondition: they lie within ``pageCount``.
    public func bytes(of pages: Range<UInt64>) -> [UInt8] {
        precondition(pages.upperBound <= pageCount, "page within the slot")
        let count = UInt64(pages.count)
        var bytes = [UInt8](repeating: 0, count: Int((count + 7) / 8))
        for index in bytes.indices {
            let page = pages.lowerBound + UInt64(index) * 8
            let word = Int(page / 64)
            let shift = page % 64
            var value = words[word] >> shift
            if shift > 56, word + 1 < words.count { value |= words[word + 1] << (64 - shift) }
            bytes[index] = UInt8(truncatingIfNeeded: value)
        }
        if count % 8 != 0 { bytes[bytes.count - 1] &= UInt8(1 << (count % 8)) - 1 }
        return bytes
    }

    private func next(dirty: Bool, from page: UInt64) -> UInt64? {
        guard page < pageCount else { return nil }
        var index = Int(page / 64)
        var word = (dirty ? words[index] : ~words[index]) & (~0 << (page % 64))
        while word == 0 {
            index += 1
            guard index < words.count else { return nil }
            word = dirty ? words[index] : ~words[index]
        }
        let found = UInt64(index) * 64 + UInt64(word.trailingZeroBitCount)
        return found < pageCount ? found : nil
    }

    private mutating func forEachMask(
        of pages: Range<UInt64>, _ body: (inout [UInt64], Int, UInt64) -> Void
    ) {
        guard !pages.isEmpty else { return }
        let first = Int(pages.lowerBound / 64)
        let last = Int((pages.upperBound - 1) / 64)
        for index in first...last {
            var mask = ~UInt64(0)
            if index == first { mask &= ~0 << (pages.lowerBound % 64) }
            if index == last { mask &= ~0 >> (63 - (pages.upperBound - 1) % 64) }
            body(&words, index, mask)
        }
    }

    private mutating func clearTail() {
        let used = pageCount % 64
        if used != 0 { words[words.count - 1] &= (1 << used) - 1 }
    }
}
