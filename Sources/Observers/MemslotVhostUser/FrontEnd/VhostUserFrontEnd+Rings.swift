public import Memslots

/// Where the three parts of a ring are, as guest addresses.
public struct VhostUserRingAddresses: Hashable, Sendable {
    /// The descriptor table, or the descriptor ring of a packed ring.
    public var descriptors: GuestPhysicalAddress
    /// The available ring, or the driver's event suppression.
    public var available: GuestPhysicalAddress
    /// The used ring, or the device's event suppression.
    public var used: GuestPhysicalAddress

    /// Creates the addresses of a ring.
    public init(
        descriptors: GuestPhysicalAddress, available: GuestPhysicalAddress,
        used: GuestPhysicalAddress
    ) {
        (self.descriptors, self.available, self.used) = (descriptors, available, used)
    }
}

extension VhostUserFrontEnd {
    /// Sets the number of entries.
    public func setSize(
        ofRing ring: Int, to size: UInt16, by deadline: Deadline
    ) throws(VhostUserError) {
        try command(.setRingSize, Self.state(ring, UInt32(size)), by: deadline)
    }

    /// Sets where the back end continues. For a packed ring this has two halves of 16 bits.
    public func setBase(
        ofRing ring: Int, to base: UInt32, by deadline: Deadline
    ) throws(VhostUserError) {
        try command(.setRingBase, Self.state(ring, base), by: deadline)
    }

    /// Sets whether the back end processes the ring. Without protocol features it always does.
    public func setEnabled(
        ring: Int, _ isEnabled: Bool, by deadline: Deadline
    ) throws(VhostUserError) {
        guard features.contains(.protocolFeatures) else { return }
        try command(.setRingEnable, Self.state(ring, isEnabled ? 1 : 0), by: deadline)
    }

    /// Sets where the ring is, whose index begins with 0, and whether the back end records its
    /// writes to the used ring. It resolves the guest physical addresses at once: all of the ring must
    /// be in the table.
    public func setAddresses(
        ofRing ring: Int, to addresses: VhostUserRingAddresses, logsUsed: Bool = false,
        by deadline: Deadline
    ) throws(VhostUserError) {
        let payload = WireWriter {
            $0.append(UInt32(ring), logsUsed ? 1 : 0)
            $0.append(
                VhostUserRegion.userAddress(of: addresses.descriptors).rawValue,
                VhostUserRegion.userAddress(of: addresses.used).rawValue,
                VhostUserRegion.userAddress(of: addresses.available).rawValue,
                addresses.used.rawValue)
        }.bytes
        try command(.setRingAddresses, payload, by: deadline)
    }

    /// Passes the event descriptor by which the driver notifies the back end. This starts the ring.
    public func setKick(
        ofRing ring: Int, descriptor: Int32?, by deadline: Deadline
    ) throws(VhostUserError) {
        try setEvent(.setRingKick, ring, descriptor, by: deadline)
    }

    /// Passes the event descriptor by which the back end notifies the driver.
    public func setCall(
        ofRing ring: Int, descriptor: Int32?, by deadline: Deadline
    ) throws(VhostUserError) {
        try setEvent(.setRingCall, ring, descriptor, by: deadline)
    }

    /// Passes the event descriptor by which the back end reports an error of the ring.
    public func setError(
        ofRing ring: Int, descriptor: Int32?, by deadline: Deadline
    ) throws(VhostUserError) {
        try setEvent(.setRingError, ring, descriptor, by: deadline)
    }

    /// Stops a ring and returns its base. The back end closes its event descriptors, and may still
    /// complete a request that is in flight; libvhost-user breaks if it then has no call
    /// descriptor. Therefore `call` is sent right behind.
    public func stop(
        ring: Int, call: Int32, by deadline: Deadline
    ) throws(VhostUserError) -> UInt32 {
        try connection.withLock { connection throws(VhostUserError) in
            let reply = try connection.query(
                .getRingBase, Self.state(ring, 0), sizes: 8...8,
                follower: (.setRingCall, WireWriter { $0.append(UInt64(ring)) }.bytes, [call]),
                by: deadline)
            var reader = WireReader(reply.payload)
            let (index, base): (UInt32, UInt32) = (reader.next(), reader.next())
            guard index == UInt32(ring) else {
                connection.close()
                throw .malformed(
                    in: VhostUserRequest.getRingBase.name,
                    reason: "the base of ring \(index) instead of \(ring)")
            }
            return base
        }
    }

    private static func state(_ ring: Int, _ value: UInt32) -> [UInt8] {
        WireWriter { $0.append(UInt32(ring), value) }.bytes
    }

    private func setEvent(
        _ request: VhostUserRequest, _ ring: Int, _ descriptor: Int32?, by deadline: Deadline
    ) throws(VhostUserError) {
        // Bit 8 says that no descriptor comes with it.
        let payload = WireWriter { $0.append(UInt64(ring) | (descriptor == nil ? 1 << 8 : 0)) }
        try command(
            request, payload.bytes, descriptors: descriptor.map { [$0] } ?? [], by: deadline)
    }
}
