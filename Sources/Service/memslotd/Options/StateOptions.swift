import ArgumentParser

/// What of the daemon stays when it ends.
struct StateOptions: ParsableArguments {
    @Option(
        name: .customLong("state-dir"),
        help: ArgumentHelp(
            "Keep VMs in this directory, so that they return after the daemon has ended.",
            discussion: """
                However it ended. It is made 0700 if it is missing, and must be the daemon's own. \
                Each VM returns with its last committed array, its generation and its memory \
                objects; one made with "ephemeral" doesn't. Memory is kept in systemd's \
                descriptor store where the unit has FileDescriptorStoreMax=, else in files of \
                the directory, which can't be exported.
                """, valueName: "path"),
        completion: .directory)
    var directory: String?

    @Flag(
        name: .customLong("state-sync"),
        help: ArgumentHelp(
            "Wait until the disk has a change before it is answered.",
            discussion: "A daemon that is killed needs no such thing; a host that is does."))
    var isSynced = false

    func validate() throws {
        if isSynced && directory == nil {
            throw ValidationError("--state-sync goes with --state-dir")
        }
    }
}
