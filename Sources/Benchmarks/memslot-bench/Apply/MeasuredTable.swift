import Memslots

extension MemslotTable {
    /// Submits one of the benchmark's own arrays.
    func measured(
        _ slots: [Memslot], quiesce: SubmitOptions.Quiesce = .auto
    ) throws(BenchmarkError) -> Receipt {
        do throws(SubmitError) {
            // On a busy machine a vCPU's thread may not run for seconds: that is no failure.
            return try submit(
                slots,
                options: SubmitOptions(quiesce: quiesce, quiesceDeadlineMilliseconds: 60_000))
        } catch {
            throw .broken("the benchmark's own array is refused: \(error)")
        }
    }
}
