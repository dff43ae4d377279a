/// What others measured of software that is not built here, on a machine of the same kind.
enum QuotedFigures {
    static let vmMemory = "vm-memory 0.18, quoted"

    /// Nanoseconds of one `get_host_address` of vm-memory 0.18, without taking the table.
    static func vmMemory(_ pattern: AddressPattern, slots: Int) -> Double? {
        switch pattern {
        case .random: [8: 8, 64: 14, 512: 34, 4_096: 64, 32_764: 625][slots]
        case .inRow: [8: 8, 64: 14, 512: 31, 4_096: 42, 32_764: 70][slots]
        case .repeated: nil
        }
    }
}

extension BenchmarkRow {
    /// The row held against a figure that was not measured in this run.
    func quoted(_ figure: Double, of other: String, target: BenchmarkTarget?) -> BenchmarkRow {
        var row = self
        row.yardstick = other
        row.yardstickMeasured = Spread([figure])
        row.ratio = measured.median / figure
        row.target = target
        return row
    }
}
