import Foundation
import Glibc
import TestSupport
import Testing
import WireTestSupport

@testable import MemslotService

extension ServerTests {
    @Suite("the socket's path")
    struct ListeningTests {
        private func mode(of path: String) -> mode_t {
            var status = stat()
            return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
        }

        private func message(_ body: () throws -> Void) -> String {
            do {
                try body()
                return "no error"
            } catch {
                return "\(error)"
            }
        }

        @Test("a missing directory is made private, and so is the socket, whatever the umask")
        func modes() throws {
            let parent = try ScratchDirectory()
            let listener = try Listener(at: SocketPath(parent.path("new/s")))
            #expect(mode(of: parent.path("new")) == 0o700)
            #expect(mode(of: parent.path("new/s")) == 0o600)
            #expect(mode(of: parent.path("new/s.lock")) == 0o600)
            listener.end()
            #expect(access(parent.path("new/s"), F_OK) != 0)
        }

        @Test("a group that may connect gets the socket and the directory that was made")
        func groupModes() throws {
            let parent = try ScratchDirectory()
            let access = PeerAccess(group: getegid())
            let listener = try Listener(at: SocketPath(parent.path("new/s")), access: access)
            #expect(mode(of: parent.path("new")) == 0o750)
            #expect(mode(of: parent.path("new/s")) == 0o660)
            listener.end()
        }

        @Test("two servers don't share a path, and the first is not disturbed")
        func lock() throws {
            let directory = try ScratchDirectory()
            let path = try SocketPath(directory.path("s"))
            do {
                let first = try Listener(at: path)
                #expect(message { _ = try Listener(at: path) }.contains("another server"))
                #expect(throws: Never.self) { _ = try ClientConnection(path) }
                _ = first.descriptor
            }
            // Not removed, as after a kill: it is stale, and replaced.
            #expect(access(path.path, F_OK) == 0)
            let second = try Listener(at: path)
            #expect(throws: Never.self) { _ = try ClientConnection(path) }
            second.end()
        }

        @Test("what is no socket, or another server's, is never replaced")
        func foreign() throws {
            let directory = try ScratchDirectory()
            let path = try SocketPath(directory.path("s"))
            _ = FileManager.default.createFile(atPath: path.path, contents: Data("precious".utf8))
            #expect(message { _ = try Listener(at: path) }.contains("is not a socket"))
            #expect(FileManager.default.contents(atPath: path.path) == Data("precious".utf8))
        }

        @Test("a directory that others may write to is refused, with the reason")
        func openDirectory() throws {
            let directory = try ScratchDirectory()
            let path = try SocketPath(directory.path("s"))
            for mode in [mode_t(0o777), 0o770, 0o702] {
                chmod(directory.path, mode)
                #expect(message { _ = try Listener(at: path) }.contains("others may write"))
            }
            chmod(directory.path, 0o755)
            try Listener(at: path).end()
        }

        @Test(
            "a directory of somebody else is refused", .enabled(if: geteuid() == 0, "needs root"))
        func foreignDirectory() throws {
            let directory = try ScratchDirectory()
            chown(directory.path, 12_345, gid_t.max)
            let path = try SocketPath(directory.path("s"))
            #expect(message { _ = try Listener(at: path) }.contains("belongs to user 12345"))
        }

        @Test("a lock that is a link is not followed")
        func linkedLock() throws {
            let directory = try ScratchDirectory()
            let path = try SocketPath(directory.path("s"))
            symlink(directory.path("elsewhere"), path.lockPath)
            #expect(message { _ = try Listener(at: path) }.contains("can't be opened"))
            #expect(access(directory.path("elsewhere"), F_OK) != 0)
        }

        @Test("a path of 107 bytes can be used, one of 108 is refused")
        func lengths() throws {
            let directory = try ScratchDirectory()
            let longest =
                directory.path(String(repeating: "x", count: 106 - directory.path.utf8.count))
            try Listener(at: SocketPath(longest)).end()
            #expect(message { _ = try SocketPath(longest + "x") }.contains("at most 107"))
            #expect(message { _ = try SocketPath("") }.contains("can't be the path"))
        }

        @Test("a server that ends removes its own socket, and no other's")
        func removal() throws {
            let directory = try ScratchDirectory()
            let path = try SocketPath(directory.path("s"))
            let listener = try Listener(at: path)
            unlink(path.path)
            _ = FileManager.default.createFile(atPath: path.path, contents: nil)
            listener.end()
            #expect(access(path.path, F_OK) == 0)
        }
    }
}
