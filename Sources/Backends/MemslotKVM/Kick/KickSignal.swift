import CKVM
public import Memslots

/// The signal that brings a thread out of `KVM_RUN`. Its number is the VMM's to choose.
///
/// KVM returns from the guest on any signal that the thread would take; the handler has nothing
/// to do.
public struct KickSignal: Hashable, Sendable {
    /// The number.
    public let number: Int32

    /// The first real-time signal: 34 with glibc.
    public static var firstRealtime: Int32 { ckvm_first_realtime_signal() }

    /// Takes a signal into use: it gets a handler that does nothing, unless it has one.
    ///
    /// For the whole process. Don't set the signal to its default or ignore it afterwards.
    /// - Throws: `EINVAL` for a number that can't be handled.
    public init(number: Int32 = KickSignal.firstRealtime) throws(Errno) {
        _ = try CallResult(ckvm_handle_signal(number)).value()
        self.number = number
    }

    /// Lets the calling thread take the signal.
    func unblock() throws(Errno) {
        _ = try CallResult(ckvm_unblock_signal(number)).value()
    }

    /// Sends it. A thread that is gone has nothing to be brought out of.
    func send(to thread: Int32) {
        _ = ckvm_signal_thread(ckvm_process(), thread, number)
    }
}
