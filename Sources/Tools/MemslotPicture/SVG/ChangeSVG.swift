import Memslots

extension ChangePicture {
    /// The change as SVG, before on the left, after on the right; bands connect slots of both.
    package func svg(title: String = "Change of the memory map", limit: Int? = 120) -> String {
        ChangeSVG(picture: self, labels: SlotLabels(names: names), limit: limit)
            .document(title: title)
    }
}

private struct ChangeSVG {
    private static let margin = 36
    private static let leftX = margin + 138
    private static let blockWidth = 230
    private static let gap = 150
    private static let rightX = leftX + blockWidth + gap
    private static let noteX = rightX + blockWidth + 14
    private static let width = noteX + 190 + margin

    let picture: ChangePicture
    let labels: SlotLabels
    let limit: Int?

    func document(title: String) -> String {
        var canvas = SVGCanvas()
        let counts = picture.counts.map { (class: "\($0.mark)", text: "\($0.count) \($0.mark)") }
        let summary = counts.map(\.text).joined(separator: ", ")
        canvas.heading(
            title, width: Self.width - 2 * Self.margin,
            counts.isEmpty
                ? "no slots before, no slots after"
                : "addresses grow downwards, heights with the logarithm of the size",
            x: Self.margin, legend: counts)
        var y = 136
        for entries in picture.entries.split(by: \.addressSpace) {
            y = draw(entries, y: y, on: &canvas) + 40
        }
        return canvas.document(
            width: Self.width, height: y, title: title,
            description: summary.isEmpty ? "no slots" : summary)
    }

    /// Draws one address space; returns where it ends.
    private func draw(_ entries: [ChangeEntry], y: Int, on canvas: inout SVGCanvas) -> Int {
        let space = entries.first?.addressSpace ?? .main
        canvas.text("Address space \(space)", x: Self.margin, y: y + 6, class: "heading")
        for side in ChangeSide.allCases {
            let slots = entries.compactMap { $0[side] }
            canvas.text(
                "\(side) · \(slots.countAndSize)", x: Self.x(of: side), y: y + 26, class: "muted")
        }
        let axis = ChangeAxis(entries, y: y + 50, limit: limit)
        draw(axis, on: &canvas)
        drawBands(axis, on: &canvas)
        for index in entries.indices {
            for side in ChangeSide.allCases { drawBlock(index, axis, side, on: &canvas) }
        }
        return axis.bottom + 4
    }

    private static func x(of side: ChangeSide) -> Int { side == .before ? leftX : rightX }

    private func draw(_ axis: ChangeAxis, on canvas: inout SVGCanvas) {
        let x = Self.leftX - 12
        for stretch in axis.stretches {
            var frame = SVGFrame(
                x: Self.leftX, y: stretch.y, width: Self.blockWidth, height: stretch.height)
            canvas.tick(stretch.first, x: x, y: stretch.y)
            switch stretch.kind {
            case .slots: canvas.axis(x: x, beside: frame, isBroken: false)
            case .hole: canvas.axis(x: x, beside: frame, isBroken: true)
            case .fold(let parts):
                canvas.axis(x: x, beside: frame, isBroken: true)
                for side in ChangeSide.allCases {
                    let items = parts.filter { $0.side == side }.map { part in
                        MapItem(slot: part.slot, mark: axis.entries[part.entry].mark)
                    }
                    frame.x = Self.x(of: side)
                    if !items.isEmpty { drawFold(SlotGroup(items), in: frame, on: &canvas) }
                }
            }
        }
        if let last = axis.stretches.last { canvas.tick(last.end, x: x, y: axis.bottom) }
        for side in ChangeSide.allCases {
            for hole in axis.holes(side) {
                let frame = SVGFrame(
                    x: Self.x(of: side), y: hole.y, width: Self.blockWidth, height: hole.height)
                canvas.hole(hole.end - hole.first, in: frame)
            }
        }
    }

    private func drawFold(_ group: SlotGroup, in frame: SVGFrame, on canvas: inout SVGCanvas) {
        canvas.group(tooltip: group.text) { canvas in
            let second = cut("\(group.sizeText), \(group.idText)", to: 32)
            let name = group.commonMark.map(\.rawValue) ?? "fold"
            canvas.foldBlock((cut(group.countText, to: 28), second), in: frame, class: name)
        }
    }

    /// The bands between the two sides: those of changed slots over those of unchanged ones.
    private func drawBands(_ axis: ChangeAxis, on canvas: inout SVGCanvas) {
        var drawn: Set<[Int]> = []
        for mark in [.unchanged, .replaced, .reflagged, .moved] as [ChangeMark] {
            for (index, entry) in axis.entries.enumerated() where entry.mark == mark {
                guard let old = axis.span(of: index, .before),
                    let new = axis.span(of: index, .after)
                else { continue }
                // Folded slots share their blocks, and so their bands.
                let ends = [old.lowerBound, old.upperBound, new.lowerBound, new.upperBound]
                guard drawn.insert(ends).inserted else { continue }
                canvas.path(band(from: old, to: new), class: "band \(mark)")
            }
        }
    }

    private func band(from old: Range<Int>, to new: Range<Int>) -> String {
        let (left, right) = (Self.leftX + Self.blockWidth + 2, Self.rightX - 2)
        let middle = (left + right) / 2
        let (top, bottom) = (old.lowerBound + 3, old.upperBound - 4)
        let (newTop, newBottom) = (new.lowerBound + 3, new.upperBound - 4)
        return "M\(left) \(top)C\(middle) \(top) \(middle) \(newTop) \(right) \(newTop)"
            + "V\(newBottom)C\(middle) \(newBottom) \(middle) \(bottom) \(left) \(bottom)Z"
    }

    private func drawBlock(
        _ index: Int, _ axis: ChangeAxis, _ side: ChangeSide, on canvas: inout SVGCanvas
    ) {
        let entry = axis.entries[index]
        guard let slot = entry[side], !axis.isFolded(index, side),
            let span = axis.span(of: index, side)
        else { return }
        let frame = SVGFrame(
            x: Self.x(of: side), y: span.lowerBound, width: Self.blockWidth, height: span.count)
        canvas.group(tooltip: "\(entry.mark)\n\(labels.tooltip(slot))") { canvas in
            canvas.slotBlock(slot, in: frame, class: entry.mark.rawValue, labels: labels)
            guard side == .after else { return }
            let label = cut(label(of: entry, slot), to: 26)
            canvas.text(label, x: Self.noteX, y: frame.middle + 4, class: "mono")
        }
    }

    private func label(of entry: ChangeEntry, _ slot: Memslot) -> String {
        guard let old = entry.before else { return labels.backing(slot) }
        switch entry.mark {
        case .moved: return "from \(old.guestPhysicalAddress)"
        case .reflagged: return labels.flagChange(from: old.flags, to: slot.flags)
        default: return labels.backing(slot)
        }
    }
}
