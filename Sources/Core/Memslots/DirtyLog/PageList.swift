/// A few pages by their numbers, ascending, each once.
extension Array where Element: FixedWidthInteger & UnsignedInteger {
    func contains(page: UInt64) -> Bool {
        let position = position(of: page)
        return position < count && UInt64(self[position]) == page
    }

    mutating func insert(pages: Range<UInt64>) {
        replaceSubrange(
            position(of: pages.lowerBound)..<position(of: pages.upperBound),
            with: pages.lazy.map { Element($0) })
    }

    mutating func remove(pages: Range<UInt64>) {
        removeSubrange(position(of: pages.lowerBound)..<position(of: pages.upperBound))
    }

    /// The pages of 64 from `first` on, a bit each.
    func word(from first: UInt64) -> UInt64 {
        self[position(of: first)..<position(of: first + 64)].reduce(0) {
            $0 | 1 << (UInt64($1) - first)
        }
    }

    /// Calls `body` for each run of touching pages, ascending.
    func forEachRun(_ body: (Range<UInt64>) -> Void) {
        var run: Range<UInt64>?
        for page in lazy.map({ UInt64($0) }) {
            if let last = run, last.upperBound == page {
                run = last.lowerBound..<page + 1
            } else {
                if let run { body(run) }
                run = page..<page + 1
            }
        }
        if let run { body(run) }
    }

    /// Where the first page from `page` on stands.
    private func position(of page: UInt64) -> Int { partitioningIndex { UInt64($0) >= page } }
}
