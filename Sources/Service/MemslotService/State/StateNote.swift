public import Memslots

/// What a server finds in its state, and what goes wrong with it, for a log.
public enum StateNote: Hashable, Sendable {
    /// A VM is as it was.
    case restored(vm: String, user: UInt32, generation: Generation, slots: Int)
    /// A VM is in the state, but can't be made here and now. Its record stays.
    case unrestored(vm: String, user: UInt32, file: String, reason: String)
    /// A record is damaged; it was given the name `setAside`, or stays where it is.
    case damaged(file: String, setAside: String?, reason: String)
    /// Something that was being written when the server before this one ended, and that nobody
    /// was told of, was removed.
    case unfinished(file: String)
    /// The state of a VM could not be written, and a request was refused.
    case unwritten(vm: String, user: UInt32, errno: Errno)
    /// A refused request stays in the state, because it could not be taken back: after a crash
    /// the VM would be as if it had been granted.
    case ahead(vm: String, user: UInt32, file: String, errno: Errno)
    /// A file could not be removed.
    case unremoved(file: String, errno: Errno)
}
