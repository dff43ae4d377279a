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

    @Option(
        name: .customLong("metrics-file"),
        help: ArgumentHelp(
            "Write all figures to this file every 15 seconds, as OpenMetrics text.",
            discussion: "For node_exporter's textfile collector.", valueName: "path"),
        completion: .file())
    var metricsFile: String?
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
