extension RandomAccessCollection {
    /// The first index whose element is `past`, in a collection where all after it are too.
    @inlinable
    package func partitioningIndex(where past: (Element) -> Bool) -> Index {
        var low = startIndex
        var count = self.count
        while count > 0 {
            let half = count / 2
            let middle = index(low, offsetBy: half)
            if past(self[middle]) {
                count = half
            } else {
                low = index(after: middle)
                count -= half + 1
            }
        }
        return low
    }
}
