import Foundation
import Memslots
import TestSupport

@testable import MemslotVhostUser

/// A back end of QEMU's in a process of its own, with a raw file of zeros: a qemu-storage-daemon that
/// exports it by vhost-user-blk, or a virtiofsd that shares its directory.
final class StorageDaemon {
    enum Kind: String, Sendable {
        case disk = "/usr/bin/qemu-storage-daemon"
        case share = "/usr/lib/qemu/virtiofsd"

        var isInstalled: Bool { access(rawValue, X_OK) == 0 }
    }

    static let blockSize = 4_096
    let blocks: Int
    let socket: String
    private let scratch: ScratchDirectory
    private let process = ChildProcess()
    private let image: String

    init(_ kind: Kind = .disk, blocks: Int) throws {
        self.blocks = blocks
        scratch = try ScratchDirectory()
        socket = scratch.path("socket")
        image = try scratch.write([UInt8](repeating: 0, count: blocks * Self.blockSize), to: "disk")
        process.executableURL = URL(fileURLWithPath: kind.rawValue)
        process.arguments =
            switch kind {
            case .disk:
                [
                    "--blockdev", "driver=file,node-name=disk,filename=\(image)", "--export",
                    "type=vhost-user-blk,id=export,node-name=disk,writable=on,num-queues=1,"
                        + "addr.type=unix,addr.path=\(socket)",
                ]
            case .share:
                [
                    "--socket-path=\(socket)", "-o", "source=\(scratch.path)", "-o",
                    "sandbox=chroot",
                ]
            }
        process.standardInput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        // The socket appears when it listens.
        try waitUntil(socket) { access(socket, F_OK) == 0 || !process.isRunning }
    }

    deinit {
        // SIGTERM does not end it while a front end is connected.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    var isRunning: Bool { process.isRunning }

    /// Connects, as soon as it listens: its socket exists shortly before.
    func connect() throws -> VhostUserFrontEnd {
        while true {
            do throws(VhostUserError) {
                return try VhostUserFrontEnd(connectingTo: socket, by: .soon)
            } catch {
                guard case .systemCall("connect", Errno(rawValue: ECONNREFUSED)) = error,
                    isRunning
                else { throw error }
                usleep(1_000)
            }
        }
    }

    /// Waits until it has ended.
    ///
    /// - Returns: the signal that ended it, if one did.
    func signal() -> Int32? {
        process.waitUntilExit()
        return process.terminationReason == .uncaughtSignal ? process.terminationStatus : nil
    }

    /// The block as it is in the file.
    func block(_ number: Int) throws -> [UInt8] {
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: image))
        defer { try? file.close() }
        try file.seek(toOffset: UInt64(number * Self.blockSize))
        return Array(try file.read(upToCount: Self.blockSize) ?? Data())
    }
}
