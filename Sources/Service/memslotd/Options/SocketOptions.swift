import ArgumentParser
import MemslotService

/// Where the daemon listens, and to whom.
struct SocketOptions: ParsableArguments {
    @Option(help: "The socket's path, at most 107 bytes.", completion: .file())
    var socket: String?

    @Option(
        name: .customLong("allow-uid"),
        help: ArgumentHelp(
            "A user who may do everything. Can be given again.",
            discussion: "The user must also be able to reach the socket: by an access list, or "
                + "by a socket that systemd makes.", valueName: "uid"))
    var allowedUsers: [UInt32] = []

    @Option(
        name: .customLong("allow-gid"),
        help: ArgumentHelp(
            "A group that may do everything: the socket is 0660, a directory that is made 0750.",
            valueName: "gid"))
    var allowedGroup: UInt32?

    @Option(
        name: .customLong("read-only-gid"),
        help: ArgumentHelp(
            "A group that may look only. With --allow-gid it is let in by an access list.",
            valueName: "gid"))
    var readOnlyGroup: UInt32?

    var isGiven: Bool {
        socket != nil || !allowedUsers.isEmpty || allowedGroup != nil || readOnlyGroup != nil
    }

    var access: PeerAccess {
        PeerAccess(
            users: Set(allowedUsers), group: allowedGroup, readOnlyGroup: readOnlyGroup)
    }
}
