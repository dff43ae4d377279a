import MemslotPicture

/// Commands that messages suggest. They work when they are typed as they are printed.
struct Hint {
    /// What `--socket` named; `nil` if the command finds the daemon without it.
    var socket: String?
    var vm: String?

    /// `--socket` with its value after a blank, if it was given.
    var option: String { socket.map { " --socket \(shellWord($0))" } ?? "" }

    /// This program with `words`, on the same daemon. The word `VM` becomes the VM's name.
    func command(_ words: String) -> String {
        let words = words.split(separator: " ").map { word in
            word == "VM" ? vm.map(shellWord) ?? "VM" : String(word)
        }
        let program = OwnProgram.word(starting: "memslotctl")
        return ([program] + words).joined(separator: " ") + option
    }

    /// Replaces each `{words}` in `text` by the command of these words.
    func expand(_ text: String) -> String {
        let parts = text.split(separator: "{", omittingEmptySubsequences: false)
        return parts.dropFirst().reduce(String(parts[0])) { text, part in
            let halves = part.split(separator: "}", maxSplits: 1, omittingEmptySubsequences: false)
            return text + "'\(command(String(halves[0])))'" + halves[1]
        }
    }
}
