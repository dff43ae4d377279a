import Glibc

/// A shell that has mounts of its own: files of the system can be others for it and its children.
package enum PrivateMounts {
    /// The path of unshare(1).
    package static let unshare = BuiltProducts.tool("unshare")
    package static var areAvailable: Bool { geteuid() == 0 && unshare != nil }

    /// Shell commands for a prefix of `exec "$@"`: they execute `commands` first, with mounts of
    /// their own.
    package static func entering(_ commands: String) -> String {
        "set -- \(unshare ?? "unshare") --mount /bin/sh -c '\(commands); exec \"$@\"' sh \"$@\";"
    }
}
