import MemslotTestKit

/// The scheduler's choice at each step, as a list of small numbers. 0 continues the running thread,
/// or the next one if it waits; `n` skips `n` threads that could run; ``time`` advances to the
/// earliest deadline. After the end of the list, the choice is 0.
package struct ScheduleChoices: Hashable, Sendable {
    package static let time: UInt8 = .max

    package var list: [UInt8]

    package init(_ list: [UInt8]) { self.list = list }

    /// Parses numbers and `t`, separated by commas; `0*12` repeats a choice twelve times.
    package init?(_ text: String) {
        list = []
        for item in text.split(separator: ",") {
            let parts = item.split(separator: "*", omittingEmptySubsequences: false)
            guard parts.count <= 2, let first = parts.first,
                let choice = first == "t" ? Self.time : UInt8(first),
                let count = parts.count == 2 ? Int(parts[1]) : 1, 1...10_000_000 ~= count
            else { return nil }
            list += repeatElement(choice, count: count)
        }
    }

    /// The shortest text, without zeros at the end.
    package var text: String {
        var items: [String] = []
        var rest = list[...]
        while rest.last == 0 { rest.removeLast() }
        while let first = rest.first {
            let run = rest.prefix { $0 == first }.count
            let name = first == Self.time ? "t" : String(first)
            items.append(run == 1 ? name : "\(name)*\(run)")
            rest = rest.dropFirst(run)
        }
        return items.isEmpty ? "0" : items.joined(separator: ",")
    }
}

/// The source of choices: a list to repeat, or the seed.
struct ChoiceSource {
    private let given: [UInt8]?
    private var random: SeededRandom
    private(set) var drawn: [UInt8] = []

    init(_ given: ScheduleChoices?, seed: UInt64, schedule: UInt64) {
        self.given = given?.list
        random = SeededRandom(seed: seed, "schedule-\(schedule)")
    }

    /// Chooses among `count` threads that can run, the running one first if it can.
    mutating func next(of count: Int, someWait: Bool) -> UInt8 {
        let choice: UInt8
        if let given {
            choice = drawn.count < given.count ? given[drawn.count] : 0
        } else {
            choice = draw(count, someWait)
        }
        drawn.append(choice)
        return choice
    }

    private mutating func draw(_ count: Int, _ someWait: Bool) -> UInt8 {
        // One random number for everything, because this runs at each step.
        let number = random.next()
        // Seldom a deadline passes while other threads could run.
        if someWait && (number >> 32) % 60 == 0 { return ScheduleChoices.time }
        // Some threads make long progress.
        if number % 3 == 0 { return 0 }
        return UInt8((number >> 8) % UInt64(min(count, 200)))
    }
}

extension SeededRandom {
    /// The stream `name` of `seed`. Drawing from one stream does not change another.
    init(seed: UInt64, _ name: String) {
        var hash = TraceHash()
        hash.fold(name)
        self.init(seed: seed ^ hash.value)
        _ = next()
    }
}

/// A hash of a trace by FNV-1a, the same in every process.
struct TraceHash {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func fold(_ number: UInt64) {
        value = (value ^ number) &* 0x100_0000_01b3
        value ^= value >> 29
    }

    mutating func fold(_ text: String) {
        for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }

    var text: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
