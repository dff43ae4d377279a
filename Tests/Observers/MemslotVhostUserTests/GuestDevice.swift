import MemslotTestKit

/// How a guest's requests look to a device.
enum GuestDevice: Sendable {
    /// A virtio-blk disk.
    case disk
    /// A file of a virtio-fs share, opened by `open(_:in:await:)`.
    case file(node: UInt64, handle: UInt64)

    /// Writes a request for a block of 4096 bytes, and returns its buffers.
    ///
    /// - Parameters:
    ///   - header: the guest address of a page for what is not data.
    ///   - data: the guest address of the data.
    func request(
        _ block: Int, isWrite: Bool, header: UInt64, data: UInt64, in memory: GuestMemory
    ) -> [SplitRing.Buffer] {
        let transfer = SplitRing.Buffer(data, 4_096, isWritten: !isWrite)
        switch self {
        case .disk:
            memory.write(Self.bytes { $0 = [isWrite ? 1 : 0, UInt64(block * 8)] }, at: header)
            // A status that no device returns.
            memory.write([0xff], at: header + 16)
            return [
                SplitRing.Buffer(header, 16, isWritten: false), transfer,
                SplitRing.Buffer(header + 16, 1, isWritten: true),
            ]
        case .file(let node, let handle):
            let size = isWrite ? 80 + 4_096 : 80
            let arguments: [UInt64] = [handle, UInt64(block * 4_096), 4_096, 0, 0]
            Self.write(isWrite ? 16 : 15, node, size, arguments, at: header, in: memory)
            let command = SplitRing.Buffer(header, 80, isWritten: false)
            return isWrite
                ? [command, transfer, SplitRing.Buffer(header + 128, 24, isWritten: true)]
                : [command, SplitRing.Buffer(header + 128, 16, isWritten: true), transfer]
        }
    }

    /// Whether the device has executed the request at `header`.
    func hasSucceeded(_ header: UInt64, in memory: GuestMemory) -> Bool {
        switch self {
        case .disk: memory.read(1, at: header + 16) == [0]
        // An error of 0, which the answer's size goes before.
        case .file: memory.load(header + 128) >= 16 && memory.load(header + 132) == 0
        }
    }

    /// Opens a file of a virtio-fs share: INIT, LOOKUP, OPEN.
    ///
    /// - Parameter await: makes a request available, and returns once it was returned.
    static func open(
        _ name: String, header: UInt64, in memory: GuestMemory,
        await: ([SplitRing.Buffer]) -> Bool
    ) -> GuestDevice? {
        func call(_ opcode: UInt32, _ node: UInt64, _ body: [UInt8], reply: UInt32) -> Bool {
            write(opcode, node, 40 + body.count, [], at: header, in: memory)
            memory.write(body, at: header + 40)
            return `await`([
                SplitRing.Buffer(header, UInt32(40 + body.count), isWritten: false),
                SplitRing.Buffer(header + 512, 16 + reply, isWritten: true),
            ]) && memory.load(header + 516) == 0
        }
        // Version 7.31, and no optional feature.
        guard call(26, 0, bytes { $0 = [7 | 31 << 32, 0] }, reply: 64),
            call(1, 1, Array(name.utf8) + [0], reply: 128)
        else { return nil }
        let node = number(header + 528, in: memory)
        // To read and write.
        guard call(14, node, bytes { $0 = [2] }, reply: 16) else { return nil }
        return .file(node: node, handle: number(header + 528, in: memory))
    }

    /// Writes the header of a FUSE request, and its arguments.
    private static func write(
        _ opcode: UInt32, _ node: UInt64, _ size: Int, _ arguments: [UInt64], at header: UInt64,
        in memory: GuestMemory
    ) {
        let words = bytes {
            $0 = [UInt64(size) | UInt64(opcode) << 32, header, node, 0, 0] + arguments
        }
        memory.write(words, at: header)
        // What no device returns.
        memory.write([UInt8](repeating: 0xff, count: 16), at: header + 128)
    }

    private static func bytes(_ body: (inout [UInt64]) -> Void) -> [UInt8] {
        var words: [UInt64] = []
        body(&words)
        return words.withUnsafeBytes { Array($0) }
    }

    private static func number(_ address: UInt64, in memory: GuestMemory) -> UInt64 {
        UInt64(memory.load(address)) | UInt64(memory.load(address + 4)) << 32
    }
}
