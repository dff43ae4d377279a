internal import Glibc
package import MemslotProtocol

/// Splits the bytes of a stream into lines, with the descriptors that came with them.
///
/// It knows no socket: ``fill(_:)`` appends bytes, ``attach(_:isTruncated:)`` their descriptors.
/// Descriptors belong to the line that contains the last byte they came with.
package struct LineBuffer {
    package struct Line {
        /// The line's place in ``LineBuffer/bytes``, without its end.
        package let range: Range<Int>
        package let descriptors: PassedDescriptors
        /// Whether more descriptors came than a line may have, or some were lost.
        package let hasBadDescriptors: Bool
    }

    /// A line is longer than the limit. Nothing more can be read.
    package struct LineTooLong: Error {}

    /// The buffer. The lines of ``next()`` are ranges of it, until more bytes are received or it is
    /// released.
    package private(set) var bytes: [UInt8]
    private let lineLimit, descriptorLimit: Int
    private let charge, chargeRoom: (Int) -> (any Sendable)?
    /// What counts the room beyond the usual.
    private var roomCharge: (any Sendable)?
    private var start = 0
    private var end = 0
    /// No line ends before this.
    private var searched = 0
    private var attachments: [Attachment] = []

    /// The descriptors of one line, which may have come in several messages.
    private struct Attachment {
        /// The index of the last byte that they came with.
        var position: Int
        let descriptors: PassedDescriptors
        /// There were too many, or some were lost. All are closed.
        let isBad: Bool
    }

    private static let leastRoom = 1 << 14
    private static let usualSize = 1 << 16
    private static let newline = UInt8(ascii: "\n")

    /// An empty buffer for lines of up to `lineLimit` bytes without their end. `charge` returns
    /// what counts a number of descriptors while they are kept, `nil` where there is no room for
    /// them; `chargeRoom` the same for the bytes of a buffer that grows.
    package init(
        lineLimit: Int, descriptorLimit: Int, charge: @escaping (Int) -> (any Sendable)? = { $0 },
        chargeRoom: @escaping (Int) -> (any Sendable)? = { $0 }
    ) {
        (self.charge, self.chargeRoom) = (charge, chargeRoom)
        (self.lineLimit, self.descriptorLimit) = (lineLimit, descriptorLimit)
        bytes = Self.room(Self.usualSize)
    }

    /// Whether the bytes after the last line are not all blank.
    var hasRest: Bool { bytes[start..<end].contains { !Self.isBlank($0) } }

    /// Returns the value of `fill`, which writes at the buffer's end and returns how many bytes, or
    /// a negative errno; `-ENOMEM` where the buffer may not grow for a longer line.
    package mutating func fill(_ fill: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
        guard makeRoom() || end < bytes.count else { return -Int(ENOMEM) }
        let end = end
        let count = bytes.withUnsafeMutableBytes {
            fill(UnsafeMutableRawBufferPointer(rebasing: $0[end...]))
        }
        if count > 0 { self.end += min(count, bytes.count - end) }
        return count
    }

    /// Adopts descriptors that came with the bytes of the last ``fill(_:)``. Beyond the limit all
    /// are closed at once: a line that never ends holds no more than one that does.
    package mutating func attach(_ descriptors: [Int32], isTruncated: Bool) {
        let position = max(end - 1, start)
        var (own, isBad) = (descriptors, isTruncated)
        let charge = charge(descriptors.count)
        var charges = charge.map { [$0] } ?? []
        isBad = isBad || charge == nil
        if let last = attachments.last, !bytes[last.position..<position].contains(Self.newline) {
            attachments.removeLast()
            own = last.descriptors.claimAll() + own
            charges += last.descriptors.charges
            isBad = isBad || last.isBad
        }
        isBad = isBad || own.count > descriptorLimit
        let passed = PassedDescriptors(own, charges: charges)
        attachments.append(
            Attachment(position: position, descriptors: isBad ? .none : passed, isBad: isBad))
    }

    /// Closes the descriptors that came after the last line.
    mutating func closeRest() { attachments = [] }

    /// Removes the next line that is not blank; `nil` if its end has not come yet.
    package mutating func next() throws(LineTooLong) -> Line? {
        while let newline = indexOfNewline() {
            var last = newline
            if last > start, bytes[last - 1] == UInt8(ascii: "\r") { last -= 1 }
            let range = start..<last
            start = newline + 1
            searched = start
            guard range.count <= lineLimit else { throw LineTooLong() }
            let line = line(in: range, endingAt: newline)
            // Descriptors of a blank line are closed, like all that no request claims.
            if bytes[range].allSatisfy(Self.isBlank) && !line.hasBadDescriptors { continue }
            return line
        }
        searched = end
        // A `\r` at the end may be a part of the line's end.
        if end - start > lineLimit + 1 { throw LineTooLong() }
        return nil
    }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0D
    }

    private func indexOfNewline() -> Int? {
        guard searched < end else { return nil }
        return bytes.withUnsafeBytes { all in
            guard let base = all.baseAddress,
                let found = memchr(base + searched, Int32(Self.newline), end - searched)
            else { return nil }
            return UnsafeRawPointer(found) - base
        }
    }

    private mutating func line(in range: Range<Int>, endingAt newline: Int) -> Line {
        guard let own = attachments.first, own.position <= newline else {
            return Line(range: range, descriptors: .none, hasBadDescriptors: false)
        }
        attachments.removeFirst()
        return Line(range: range, descriptors: own.descriptors, hasBadDescriptors: own.isBad)
    }

    /// Releases a buffer that grew for one long line, if all lines were taken. Their ranges end.
    mutating func releaseLongLine() {
        guard start == end, bytes.count > 1 << 18 else { return }
        move(by: start)
        bytes = Self.room(Self.usualSize)
        roomCharge = nil
    }

    /// - Returns: false if it may not grow.
    private mutating func makeRoom() -> Bool {
        releaseLongLine()
        if start == end { move(by: start) }
        guard bytes.count - end < Self.leastRoom else { return true }
        if start >= bytes.count / 2 {
            move(by: start)
        } else {
            // Four times larger, so that a line of megabytes is moved only a few times.
            let most = max(lineLimit + Self.usualSize, bytes.count * 2)
            let size = min(bytes.count * 4, most)
            guard let charge = chargeRoom(size) else { return false }
            defer { roomCharge = charge }
            let larger = Self.room(size)
            let rest = bytes[start..<end]
            bytes = larger
            bytes.withUnsafeMutableBytes { all in
                rest.withUnsafeBytes { all.copyMemory(from: $0) }
            }
            rebase(by: start)
        }
        return true
    }

    /// Not filled with zeros: writing megabytes once more costs as much as reading them.
    private static func room(_ size: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: size) { $1 = size }
    }

    private mutating func move(by distance: Int) {
        guard distance > 0 else { return }
        let rest = start..<end
        if !rest.isEmpty {
            bytes.withUnsafeMutableBytes { all in
                guard let base = all.baseAddress else { return }
                memmove(base, base + rest.lowerBound, rest.count)
            }
        }
        rebase(by: distance)
    }

    /// Adjusts all positions after the bytes moved by `distance`.
    private mutating func rebase(by distance: Int) {
        start -= distance
        end -= distance
        searched -= distance
        for index in attachments.indices { attachments[index].position -= distance }
    }
}
