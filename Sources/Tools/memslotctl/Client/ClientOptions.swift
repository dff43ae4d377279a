import ArgumentParser
import MemslotPicture
import MemslotProtocol

/// Which daemon is asked, and how its answer is shown.
struct ClientOptions: ParsableArguments {
    @OptionGroup(title: "Daemon")
    var daemon: DaemonOptions

    @Flag(help: "Print the bare result as JSON, on one line.")
    var json = false

    /// Connects, asks, and shows the answer: as it came with `--json`, else by `tell`.
    ///
    /// - Parameters:
    ///   - file: the array that is sent, to tell where in it a fault is.
    ///   - descriptors: sent with the request.
    ///   - members: writes the members of `params` after the VM's name.
    /// - Throws: the exit status, once the refusal was told.
    func ask(
        _ method: Method, vm: String? = nil, about file: SubmittedFile? = nil,
        descriptors: [Int32] = [], _ members: (inout JSONWriter) -> Void = { _ in },
        tell: (JSONValue) throws -> Void
    ) throws {
        var connection = try daemon.connect()
        let answer = try connection.ask(
            method, vm: vm, about: file, descriptors: descriptors, members)
        if !print(answer) { try tell(answer.result) }
    }

    /// Prints the result as it came where that was asked for.
    ///
    /// - Returns: whether it was.
    func print(_ answer: Daemon.Answer) -> Bool {
        if json { Terminal.write(answer.result.rawBytes + [UInt8(ascii: "\n")]) }
        return json
    }
}
