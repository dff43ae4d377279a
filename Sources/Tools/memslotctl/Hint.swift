import MemslotPicture

/// Commands that messages suggest. They work when they are typed as they are printed.
struct Hint {
    /// What `--socket` named; `nil` if the command finds the daemon without it.
    var socket: String?
    /// What `--server-uid` permitted.
    var serverUser: UInt32?
    var vm: String?

    /// `--socket` and `--server-uid` with their values, each after a blank, if they were given.
    var option: String {
        (socket.map { " --socket \(shellWord($0))" } ?? "")
            + (serverUser.map { " --server-uid \($0)" } ?? "")
    }

    func naming(_ vm: String?) -> Hint { Hint(socket: socket, serverUser: serverUser, vm: vm) }

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
