/// The last receipts of a table, bounded in number and in memory.
struct ReceiptHistory {
    private var receipts: [Receipt] = []
    private var operations = 0
    private let limit: Int

    /// As many operations as are kept in all: with receipts of thousands each, fewer receipts are.
    private static let operationLimit = 1_000_000

    init(limit: Int) { self.limit = limit }

    mutating func append(_ receipt: Receipt) {
        receipts.append(receipt)
        // They would keep every old array alive, and the submitter knows them.
        if !receipt.hasPickedIDs { receipts[receipts.count - 1].slots = [] }
        operations += receipt.operations.count
        while receipts.count > 1, receipts.count > limit || operations > Self.operationLimit {
            operations -= receipts.removeFirst().operations.count
        }
        if limit == 0 { receipts.removeAll() }
    }

    /// The last `count` receipts, oldest first.
    func last(_ count: Int) -> [Receipt] { Array(receipts.suffix(count)) }
}
