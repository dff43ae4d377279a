import Memslots

extension SVGCanvas {
    mutating func slotBlock(
        _ slot: Memslot, in frame: SVGFrame, class name: String, labels: SlotLabels
    ) {
        block(frame, class: name)
        let y = frame.middle + 5
        label(labels.id(slot), HumanSize(slot.size).description, x: frame.x + 14, y: y)
        pills(SlotLabels.flagWords(slot.flags), right: frame.x + frame.width - 10, y: frame.middle)
    }

    mutating func foldBlock(_ lines: (String, String), in frame: SVGFrame, class name: String) {
        let sheets = SVGFrame(x: frame.x, y: frame.y, width: frame.width, height: frame.height - 8)
        for step in [2, 1, 0] {
            var sheet = sheets
            sheet.x += step * 4
            sheet.width -= step * 8
            sheet.y += step * 4
            block(sheet, class: name)
        }
        text(lines.0, x: frame.x + 14, y: sheets.middle - 3, class: "heavy")
        text(lines.1, x: frame.x + 14, y: sheets.middle + 14, class: "muted")
    }

    private mutating func block(_ frame: SVGFrame, class name: String) {
        // A gap, so that adjacent slots are still two blocks.
        let inner = SVGFrame(
            x: frame.x, y: frame.y + 1, width: frame.width, height: frame.height - 3)
        rect(inner, class: "block \(name)", radius: 5)
    }

    private mutating func pills(_ words: [String], right: Int, y: Int) {
        var right = right
        for word in words.reversed() {
            let width = word.count * 7 + 13
            let kind = ["log", "ro", "gmem"].contains(word) ? word : "other"
            let frame = SVGFrame(x: right - width, y: y - 8, width: width, height: 16)
            rect(frame, class: "pill-\(kind)", radius: 8)
            text(word, x: right - width / 2, y: y + 4, class: "badge-text")
            right -= width + 5
        }
    }

    mutating func hole(_ bytes: UInt64, in frame: SVGFrame) {
        let bottom = frame.y + frame.height - 3
        for x in [frame.x + 1, frame.x + frame.width - 1] {
            path("M\(x) \(frame.y + 3)V\(bottom)", class: "gap")
        }
        text(
            "\(HumanSize(bytes: bytes)) hole", x: frame.x + frame.width / 2, y: frame.middle + 4,
            class: "centre")
    }

    mutating func tick(_ address: UInt64, x: Int, y: Int) {
        path("M\(x - 5) \(y)H\(x)", class: "tick")
        text(address.hex(), x: x - 10, y: y + 4, class: "address")
    }

    /// Draws the axis beside `frame`; broken where addresses are omitted.
    mutating func axis(x: Int, beside frame: SVGFrame, isBroken: Bool) {
        let (top, bottom) = (frame.y, frame.y + frame.height)
        guard isBroken else { return path("M\(x) \(top)V\(bottom)", class: "axis") }
        let start = frame.middle - 6
        path("M\(x) \(top)V\(start)l-4 3l8 3l-8 3l4 3V\(bottom)", class: "axis")
    }

    /// Draws the top of a picture: its title, cut to `width` pixels, a line about it and the legend.
    mutating func heading(
        _ title: String, width: Int, _ line: String, x: Int,
        legend entries: [(class: String, text: String)]
    ) {
        // 22 pixels, and bold.
        text(cut(title, toPixels: width * 13 / 25), x: x, y: 50, class: "title")
        text(line, x: x, y: 74, class: "muted")
        var x = x
        for entry in entries {
            if entry.class == "gap" {
                path("M\(x + 1) 93v14m12 -14v14", class: "gap")
            } else {
                let swatch = SVGFrame(x: x, y: 93, width: 14, height: 14)
                rect(swatch, class: "block \(entry.class)", radius: 3)
            }
            text(entry.text, x: x + 21, y: 104, class: "muted")
            x += 21 + textWidth(entry.text) + 24
        }
    }
}

/// The approximate width of a line of 13 pixel text; the font is the viewer's.
func textWidth(_ text: String) -> Int { text.reduce(0) { $0 + textWidth($1) } }

private func textWidth(_ character: Character) -> Int {
    if "filrt.,: ".contains(character) { return 4 }
    if "mwMW@%".contains(character) || displayWidth(of: character) > 1 { return 14 }
    return character.isUppercase ? 10 : 8
}

/// The part of a line of 13 pixel text that surely fits, with `…` for the rest.
func cut(_ text: String, toPixels width: Int) -> String {
    textWidth(text) > width ? cut(text, to: width - 13, measuredBy: textWidth) : text
}

extension SlotLabels {
    func tooltip(_ slot: Memslot) -> String {
        let flags = slot.flags.isEmpty ? [] : ["flags \(flags(slot.flags))"]
        let lines = [
            "slot \(id(slot)) of address space \(slot.addressSpace)",
            "\(slot.first.hex())-\(slot.last.hex())",
            "\(HumanSize(slot.size)) (\(slot.size.rawValue) bytes)",
        ]
        return (lines + flags + [backing(slot)]).joined(separator: "\n")
    }

    func kind(_ slot: Memslot) -> String {
        if slot.flags.contains(.guestMemfd) { return "gmem" }
        return slot.flags.contains(.readOnly) ? "ro" : "ram"
    }
}
