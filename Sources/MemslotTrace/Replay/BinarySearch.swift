extension Array {
    /// The first index whose element is `past`, in an array where all after it are too.
    func partitionIndex(where past: (Element) -> Bool) -> Int {
        var low = 0
        var count = self.count
        while count > 0 {
            let half = count / 2
            if past(self[low + half]) {
                count = half
            } else {
                low += half + 1
                count -= half + 1
            }
        }
        return low
    }
}
