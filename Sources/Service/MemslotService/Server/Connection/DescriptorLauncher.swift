internal import CLinux
internal import Glibc
public import Memslots

/// Starts a process for each connection that passes descriptors, which receives them.
///
/// Closing a descriptor may never return: a FUSE file system need not reply. With a launcher no
/// descriptor of a peer enters this process but sealed memory. Without one, as in a VMM that
/// embeds a server for its own user, the server receives them itself.
public final class DescriptorLauncher: Sendable {
    // Locked while a receiver starts: the launcher starts one after the other.
    private let channel: Locked<Int32>

    /// Forks the launcher's process. Call it before the first thread starts, and before anything
    /// is opened that must not outlive this process.
    ///
    /// - Parameter confinement: of that process and of those that it starts; `nil` for none.
    /// - Throws: the errno of the call that failed.
    public init(confinement: Confinement? = nil) throws(Errno) {
        let confined =
            switch confinement {
            case nil: CLINUX_UNCONFINED
            case .standard: CLINUX_STANDARD
            case .strict: CLINUX_STRICT
            }
        channel = Locked(try valueOfCall(clinux_launcher(confined)))
    }

    deinit { channel.withLock { _ = close($0) } }

    /// Starts the receiver of `socket`, which stays the caller's.
    func start(for socket: Int32) throws(Errno) -> DescriptorReceiver {
        try channel.withLock { channel throws(Errno) in
            var (control, process) = (Int32(-1), Int32(-1))
            _ = try valueOfCall(clinux_launch(channel, socket, &control, &process))
            return DescriptorReceiver(control: control, process: process)
        }
    }
}

/// What becomes of a system call that a process does not need.
public enum Confinement: String, CaseIterable, Sendable {
    /// It fails with `EPERM`.
    case standard
    /// It ends the process.
    case strict
}

/// The process that receives the descriptors of one socket.
struct DescriptorReceiver {
    fileprivate let control, process: Int32

    /// How long it may take to close a descriptor before it is abandoned, in milliseconds.
    private static let patience: Int32 = 1_000

    /// As `DescriptorIO.receive`; `-ETIMEDOUT` if it hangs. What is not memory is negative.
    func receive(into buffer: inout LineBuffer) -> Int {
        DescriptorIO.receive(into: &buffer) { room, slots, number, truncated in
            clinux_receive_through(
                control, room.baseAddress, room.count, slots, &number, &truncated, Self.patience)
        }
    }

    /// Ends the process, which closes its copy of the socket and what is queued in it. Returns what
    /// is left if it hangs; with `waits` it has the time that it may take.
    func end(waits: Bool = true) -> AbandonedSocket? {
        close(control)
        if clinux_is_ready(process, waits ? Self.patience : 0) == 1 {
            close(process)
            return nil
        }
        // Ends a wait that a signal can end, such as that of a TCP socket that lingers.
        _ = clinux_kill(process)
        return .process(process)
    }
}

/// What is left of a connection that could not be closed. It counts against its peer.
enum AbandonedSocket {
    /// A receiver that hangs, by its pidfd.
    case process(Int32)
    /// A socket with queued descriptors for which no receiver could be started.
    case socket(PeerSocket)

    /// What is left of it now; `nil` once it is gone.
    func retried() -> AbandonedSocket? {
        switch self {
        case .socket(let socket): return socket.close(waits: false)
        case .process(let process):
            guard clinux_is_ready(process, 0) == 1 else { return self }
            close(process)
            return nil
        }
    }
}

/// A stream from a peer. Descriptors that come with its bytes are received by another process.
struct PeerSocket {
    let descriptor: Int32
    let isSocket: Bool
    /// `nil` to receive descriptors in this process.
    let launcher: DescriptorLauncher?
    private var receiver: DescriptorReceiver?

    init(_ descriptor: Int32, isSocket: Bool = true, launcher: DescriptorLauncher?) {
        (self.descriptor, self.isSocket, self.launcher) = (descriptor, isSocket, launcher)
    }

    /// As `DescriptorIO.receive`; `-ETIMEDOUT` where the receiver hangs.
    mutating func receive(into buffer: inout LineBuffer) -> Int {
        guard isSocket, let launcher else {
            return DescriptorIO.receive(from: descriptor, isSocket: isSocket, into: &buffer)
        }
        var hasDescriptors: Int32 = 0
        let count = buffer.fill { [descriptor] room in
            let count = clinux_peek(descriptor, room.baseAddress, room.count, 1, &hasDescriptors)
            guard count > 0, hasDescriptors == 0 else { return min(count, 0) }
            return clinux_receive_peeked(descriptor, room.baseAddress, count)
        }
        guard hasDescriptors != 0 else { return count }
        do throws(Errno) {
            if receiver == nil { receiver = try launcher.start(for: descriptor) }
        } catch { return -Int(error.rawValue) }
        return receiver?.receive(into: &buffer) ?? -Int(ESRCH)
    }

    /// Discards what comes before descriptors, until `deadline`. Returns whether any are queued.
    func discard(until deadline: ContinuousClock.Instant? = nil) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 1) { room in
            while true {
                var hasDescriptors: Int32 = 0
                let count = clinux_peek(
                    descriptor, room.baseAddress, room.count, 0, &hasDescriptors)
                if hasDescriptors != 0 { return true }
                if count > 0 {
                    _ = clinux_receive_peeked(descriptor, room.baseAddress, count)
                } else if count != -Int(EAGAIN) || !waits(until: deadline) {
                    return false
                }
            }
        }
    }

    /// Waits for more bytes, or the end. Returns false at the deadline.
    private func waits(until deadline: ContinuousClock.Instant?) -> Bool {
        guard let deadline, .now < deadline else { return false }
        _ = clinux_is_ready(descriptor, 100)
        return true
    }

    /// Ends sending, then discards what the peer sends, for at most a second. If the socket were
    /// closed at once, the peer's write would fail, and it might not read the error that was sent.
    func discardInput() {
        shutdown(descriptor, Int32(SHUT_WR))
        _ = discard(until: .now + .seconds(1))
    }

    /// Closes it. Descriptors that are queued are closed by another process, for whose end this
    /// waits with `waits`. Returns what is left of it, if it can't be closed now.
    func close(waits: Bool = true) -> AbandonedSocket? {
        var receiver = receiver
        if isSocket, let launcher {
            // Nothing more can be queued after that.
            shutdown(descriptor, Int32(SHUT_RDWR))
            if receiver == nil && discard() {
                do throws(Errno) { receiver = try launcher.start(for: descriptor) } catch {
                    return .socket(self)
                }
            }
        }
        // The receiver has a copy, so that this is not the close that frees what is queued.
        Glibc.close(descriptor)
        return receiver?.end(waits: waits)
    }
}
