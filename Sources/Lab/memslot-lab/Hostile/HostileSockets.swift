import Glibc
import MemslotProtocol
import MemslotService
import MemslotTestKit

/// What the kernel reports of a process.
struct ProcessHoldings {
    let anonymous: Int
    let descriptors: Int
    let threads: Int

    /// `nil` once the process has ended.
    init?(of process: pid_t) {
        let folder = "/proc/\(process)"
        guard let text = Files.text(of: folder + "/smaps_rollup"),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Anonymous:") }),
            let kibibytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) }),
            let files = Files.names(in: folder + "/fd"),
            let tasks = Files.names(in: folder + "/task")
        else { return nil }
        (anonymous, descriptors, threads) = (kibibytes * 1_024, files.count, tasks.count)
    }
}

/// A TCP socket with unsent bytes: its last `close()` waits for the peer, which never reads.
final class LingeringSocket {
    private(set) var descriptor: Int32
    private let listener: Int32

    init?() {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (own, listener) = (descriptor, listener)
        let isConnected = withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, size) == 0 && listen(listener, 1) == 0
                    && getsockname(listener, $0, &size) == 0 && Glibc.connect(own, $0, size) == 0
            }
        }
        var option = linger(l_onoff: 1, l_linger: 1_000)
        setsockopt(own, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        guard isConnected, fcntl(own, F_SETFL, O_NONBLOCK) == 0 else { return nil }
        let bytes = [UInt8](repeating: 0, count: 1 << 16)
        while send(own, bytes, bytes.count, Int32(MSG_NOSIGNAL)) > 0 {}
    }

    /// Closes this process's own copy, once another has one.
    func closeOwn() {
        close(descriptor)
        descriptor = -1
    }

    deinit {
        // Closed first: the connection is reset, and lingers nowhere any more.
        close(listener)
        if descriptor >= 0 { close(descriptor) }
    }
}

extension HostileRun {
    /// Calls `body` as the hostile user: the kernel records who connects.
    static func asHostile<R: ~Copyable>(
        _ body: () throws(TargetLost) -> R
    ) throws(TargetLost) -> R {
        let own = geteuid()
        guard seteuid(hostileUser) == 0 else { throw TargetLost("can't act as another user") }
        defer { _ = seteuid(own) }
        return try body()
    }

    /// Connects to a server that does not matter.
    static func socket(_ path: SocketPath) throws(TargetLost) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = Glibc.socket(AF_UNIX, kind, 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.path.utf8) }
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0, fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else {
            close(descriptor)
            throw TargetLost("can't connect: \(String(cString: strerror(errno)))")
        }
        return descriptor
    }

    /// Sends what the server reads within a tenth of a second; the rest is lost.
    static func send(_ bytes: [UInt8], to socket: Int32) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    socket, $0.baseAddress.map { $0 + sent }, bytes.count - sent,
                    Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
                continue
            }
            guard count < 0, errno == EAGAIN else { return }
            var entry = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
            if poll(&entry, 1, 100) <= 0 { return }
        }
    }
}
