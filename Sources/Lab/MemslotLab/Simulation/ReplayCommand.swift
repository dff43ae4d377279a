extension SimulationOptions {
    /// The command that runs this again.
    package var command: String {
        var words = ["memslotctl simulate --seed \(seed) --steps \(steps)"]
        if let actors { words.append("--actors \(actors.joined(separator: ","))") }
        if !without.isEmpty {
            words.append("--without \(without.map(\.rawValue).sorted().joined(separator: ","))")
        }
        if schedule != 0 && choices == nil { words.append("--schedule \(schedule)") }
        if let choices { words.append("--choices \(choices.text)") }
        return words.joined(separator: " ")
    }
}
