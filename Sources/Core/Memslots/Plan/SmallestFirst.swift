/// A binary heap.
struct SmallestFirst<Item: Comparable> {
    private var items: [Item] = []

    mutating func insert(_ item: Item) {
        items.append(item)
        var child = items.count - 1
        while child > 0, items[child] < items[(child - 1) / 2] {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeSmallest() -> Item? {
        guard let smallest = items.first, let last = items.popLast() else { return nil }
        if items.isEmpty { return smallest }
        items[0] = last
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < items.count else { return smallest }
            if child + 1 < items.count, items[child + 1] < items[child] { child += 1 }
            guard items[child] < items[parent] else { return smallest }
            items.swapAt(child, parent)
            parent = child
        }
    }
}
