import MemslotTestKit

/// What the scheduler does at each step, as a list of small numbers.
///
/// 0 lets the thread that runs go on, or the next one where it can't; `n` passes over `n` of those
/// that could run; ``time`` lets the earliest deadline pass. Past the list's end it is 0.
package struct ScheduleChoices: Hashable, Sendable {
    /// Lets the earliest deadline pass.
    package static let time: UInt8 = .max

    /// One number a step.
    package var list: [UInt8]

    /// Wraps a list.
    package init(_ list: [UInt8]) { self.list = list }

    /// Reads `text`: numbers and `t`, by commas; `0*12` stands for twelve of them.
    ///
    /// - Returns: `nil` where it is none.
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

    /// The shortest text for it; zeros at the end are left out.
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

/// Where choices come from: a list to be repeated, or the seed.
struct ChoiceSource {
    private let given: [UInt8]?
    private var random: SeededRandom
    private(set) var made: [UInt8] = []

    /// How often the running thread is let go on: so that some get deep into what they do.
    private static let staying = 3
    /// How seldom a deadline passes while others could run.
    private static let timePasses = 60

    init(_ given: ScheduleChoices?, seed: UInt64, schedule: UInt64) {
        self.given = given?.list
        random = SeededRandom(seed: seed, "schedule-\(schedule)")
    }

    /// Chooses among `count` threads that can run, the running one first if it can.
    mutating func next(of count: Int, someWait: Bool) -> UInt8 {
        let choice: UInt8
        if let given {
            choice = made.count < given.count ? given[made.count] : 0
        } else {
            choice = draw(count, someWait)
        }
        made.append(choice)
        return choice
    }

    private mutating func draw(_ count: Int, _ someWait: Bool) -> UInt8 {
        // One number for all, because this is drawn at each step.
        let number = random.next()
        if someWait && (number >> 32) % UInt64(Self.timePasses) == 0 { return ScheduleChoices.time }
        if number % UInt64(Self.staying) == 0 { return 0 }
        return UInt8((number >> 8) % UInt64(min(count, 200)))
    }
}

extension SeededRandom {
    /// The stream named `name` of `seed`: what one draws changes nothing for another.
    init(seed: UInt64, _ name: String) {
        var hash = TraceHash()
        hash.fold(name)
        self.init(seed: seed ^ hash.value)
        _ = next()
    }

    /// A number of `range`.
    mutating func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    /// `true` once in `count` times.
    mutating func once(in count: Int) -> Bool { draw(1...count) == 1 }
}

/// A hash of everything that happened, the same in every process. The algorithm is FNV-1a.
struct TraceHash {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    /// Folds a number in.
    mutating func fold(_ number: UInt64) {
        value = (value ^ number) &* 0x100_0000_01b3
        value ^= value >> 29
    }

    /// Folds a text in.
    mutating func fold(_ text: String) {
        for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }

    /// Sixteen hexadecimal digits.
    var text: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
