import Memslots

extension MemslotTable {
    /// Submits one of the benchmark's own arrays.
    func measured(
        _ slots: [Memslot], quiesce: SubmitOptions.Quiesce = .auto
    ) throws(BenchmarkError) -> Receipt {
        do throws(SubmitError) {
            return try submit(slots, options: SubmitOptions(quiesce: quiesce))
        } catch {
            throw .broken("the benchmark's own array is refused: \(error)")
        }
    }
}
