/// The columns of a map, fitted to the terminal's width.
///
/// As the width shrinks: the bar gets shorter; ranges lose their ends, and backing the word `hva`;
/// names of memory are cut; the bar disappears, and last the backing.
struct MapColumns {
    private var addressDigits: Int
    private var showsLast = true
    private var sizeWidth: Int
    private var barWidth = 24
    private var idWidth, flagWidth, backingWidth: Int
    private var showsBareBacking = false
    private let bareBackingWidth: Int
    /// The minimum width of a bare backing that keeps all digits of its addresses.
    private let bareAddressWidth: Int
    private let largest: UInt64
    private let options: TextOptions

    init(rows: [MapRow], options: TextOptions) {
        func widest(_ column: KeyPath<MapRow, String>, atLeast least: Int) -> Int {
            rows.reduce(least) { max($0, displayWidth(of: $1[keyPath: column])) }
        }
        let top = rows.reduce(UInt64(0)) { max($0, $1.last) }
        self.addressDigits = max(8, String(top, radix: 16).count)
        (self.sizeWidth, self.idWidth) = (widest(\.size, atLeast: 4), widest(\.id, atLeast: 4))
        self.flagWidth = rows.allSatisfy { $0.flags.isEmpty } ? 0 : widest(\.flags, atLeast: 5)
        self.backingWidth = widest(\.backing, atLeast: 7)
        self.bareBackingWidth = widest(\.bareBacking, atLeast: 7)
        let addresses = rows.filter { $0.sign == ">" || $0.bareBacking != $0.backing }
        self.bareAddressWidth = addresses.reduce(12) { max($0, displayWidth(of: $1.bareBacking)) }
        self.largest = rows.reduce(0) { max($0, $1.bar?.bytes ?? 0) }
        self.options = options
        fit()
    }

    private var rangeWidth: Int { showsLast ? 2 * (addressDigits + 2) + 1 : addressDigits + 2 }

    private var total: Int {
        let optional = [barWidth, flagWidth, backingWidth].filter { $0 > 0 }
        return optional.reduce(2 + rangeWidth + 2 + sizeWidth + 2 + idWidth) { $0 + 2 + $1 }
    }

    private mutating func fit() {
        shrink(\.barWidth, to: 8)
        shrink(\.backingWidth, to: 18)
        guard total > options.width else { return }
        showsLast = false
        showsBareBacking = true
        (barWidth, backingWidth) = (16, bareBackingWidth)
        shrink(\.barWidth, to: 8)
        shrink(\.backingWidth, to: bareAddressWidth)
        shrink(\.barWidth, to: 4)
        guard total > options.width else { return }
        (barWidth, backingWidth) = (0, bareBackingWidth)
        shrink(\.backingWidth, to: 12)
        if total > options.width { backingWidth = 0 }
    }

    private mutating func shrink(_ column: WritableKeyPath<MapColumns, Int>, to least: Int) {
        let excess = max(0, total - options.width)
        self[keyPath: column] = max(
            min(least, self[keyPath: column]), self[keyPath: column] - excess)
    }

    var heading: String {
        let row = MapRow(
            first: 0, last: 0, size: "size", id: "slot", flags: "flags", backing: "backing",
            ink: .dim, flagInk: .dim)
        return line(row, range: padded("guest physical", to: rangeWidth))
    }

    func line(_ row: MapRow) -> String {
        let first = row.first.hex(digits: addressDigits)
        return line(
            row, range: showsLast ? "\(first)-\(row.last.hex(digits: addressDigits))" : first)
    }

    private func line(_ row: MapRow, range: String) -> String {
        var line = StyledLine()
        line.append(row.sign + " ", row.ink)
        line.append(range, row.ink)
        if let fold = row.fold {
            line.append("  " + fold, row.ink)
            return text(line)
        }
        line.append("  " + padded(row.size, to: sizeWidth, alignment: .trailing), row.ink)
        if barWidth > 0 {
            let bar = row.bar?.text(width: barWidth, largest: largest)
            line.append("  ")
            line.append(padded(bar ?? "", to: barWidth), row.barInk)
        }
        line.append("  " + padded(row.id, to: idWidth, alignment: .trailing), row.ink)
        if flagWidth > 0 {
            line.append("  ")
            line.append(padded(row.flags, to: flagWidth), row.flagInk)
        }
        if backingWidth > 0 {
            let backing = showsBareBacking ? row.bareBacking : row.backing
            line.append("  " + cut(backing, to: backingWidth), row.ink)
        }
        return text(line)
    }

    private func text(_ line: StyledLine) -> String {
        line.text(limit: options.width, colour: options.usesColour)
    }
}

extension MapRow {
    fileprivate var bareBacking: String {
        backing.hasPrefix("hva 0x") ? String(backing.dropFirst(4)) : backing
    }
}
