public import ArgumentParser
public import Logging

/// How the daemon runs.
struct OperationOptions: ParsableArguments {
    @Flag(help: "Speak on standard input and output instead of a socket, until the input ends.")
    var stdio = false

    @Option(
        name: .customLong("log-level"),
        help: ArgumentHelp(
            "The least that is logged: trace, debug, info, notice, warning, error, critical.",
            discussion: "Commits are logged at info, connections at debug.", valueName: "level"))
    var level: Logger.Level = .info
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
