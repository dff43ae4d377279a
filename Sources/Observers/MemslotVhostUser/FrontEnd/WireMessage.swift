/// The header of every message, and the words of payloads, in the host's byte order.
package struct WireHeader: Equatable {
    static let size = 12
    /// The most bytes of a payload that any reply may have.
    static let payloadLimit = 4_096

    private static let version: UInt32 = 1
    private static let versionMask: UInt32 = 3
    private static let replyFlag: UInt32 = 1 << 2
    private static let needReplyFlag: UInt32 = 1 << 3

    package var request: UInt32
    var flags, size: UInt32

    package init(_ request: UInt32, isReply: Bool = false, needsReply: Bool = false, size: Int) {
        self.request = request
        flags = Self.version | (isReply ? Self.replyFlag : 0)
        if needsReply { flags |= Self.needReplyFlag }
        self.size = UInt32(size)
    }

    init?(_ bytes: [UInt8]) {
        var reader = WireReader(bytes)
        guard bytes.count == Self.size else { return nil }
        (request, flags, size) = (reader.next(), reader.next(), reader.next())
    }

    var hasVersion: Bool { flags & Self.versionMask == Self.version }
    var isReply: Bool { flags & Self.replyFlag != 0 }
    package var needsReply: Bool { flags & Self.needReplyFlag != 0 }

    package var bytes: [UInt8] { WireWriter { $0.append(request, flags, size) }.bytes }
}

package struct WireWriter {
    package private(set) var bytes: [UInt8] = []

    package init(_ body: (inout WireWriter) -> Void) { body(&self) }

    package mutating func append<Word: FixedWidthInteger>(_ words: Word...) {
        for word in words { withUnsafeBytes(of: word) { bytes.append(contentsOf: $0) } }
    }

    mutating func append(contentsOf more: [UInt8]) { bytes += more }
}

/// Reads the words of a payload whose size is known to be enough.
package struct WireReader {
    private let bytes: [UInt8]
    private var position = 0

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    package mutating func next<Word: FixedWidthInteger>() -> Word {
        let size = MemoryLayout<Word>.size
        defer { position += size }
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: position, as: Word.self) }
    }
}
