import CLinux
import Glibc
import Memslots
import TestSupport
import Testing

@testable import MemslotVhostUser

@Suite("front end")
struct FrontEndTests {
    private func region(_ guest: UInt64, _ pages: UInt64) -> VhostUserRegion {
        VhostUserRegion(
            guestAddress: GuestPhysicalAddress(guest), size: .pages(pages), object: 1,
            fileOffset: ByteCount(guest))
    }

    /// The bytes of a reply.
    private func reply(
        _ request: UInt32, _ payload: [UInt8] = [UInt8](repeating: 0, count: 8), flags: UInt32 = 5,
        size: UInt32? = nil
    ) -> [UInt8] {
        WireWriter {
            $0.append(request, flags, size ?? UInt32(payload.count))
            $0.append(contentsOf: payload)
        }.bytes
    }

    @Test("opening negotiates what both know, and never ACCESS_PLATFORM or PAGEFAULT")
    func open() throws {
        var offer = ScriptedPeer.Offer()
        offer.protocolFeatures |= 1 << 8
        let peer = try ScriptedPeer(offer)
        let front = VhostUserFrontEnd(adopting: peer.frontEnd)
        let result = try front.open(by: .soon)
        #expect(result.regionLimit == 32)
        #expect(result.ringCount == 4)
        #expect(!result.features.contains(.accessPlatform))
        #expect(result.protocolFeatures.rawValue == offer.protocolFeatures & ~(1 << 8))
        try front.set([.version1], by: .soon)
        #expect(peer.state.withLock { $0.features } == 1 << 32 | 1 << 30)
        #expect(throws: VhostUserError.self) { try front.set([.accessPlatform], by: .soon) }
        #expect(
            peer.received == [
                .setOwner, .getFeatures, .getProtocolFeatures, .setProtocolFeatures, .getRingCount,
                .getMaxMemorySlots, .setFeatures,
            ])
        #expect(front.messagesSent.values.reduce(0, +) == 7)
        #expect(front.isOpen)
    }

    @Test("what is not negotiated is refused before anything is sent")
    func notNegotiated() throws {
        let peer = try ScriptedPeer()
        let front = VhostUserFrontEnd(adopting: peer.frontEnd)
        let result = try front.open(wanting: [.acknowledgement], by: .soon)
        #expect(result.regionLimit == VhostUserOffer.tableLimit)
        let sent = front.messagesSent
        let requests: [() throws -> Void] = [
            { try front.add(region(0, 1), descriptor: 0, by: .soon) },
            { try front.remove(region(0, 1), by: .soon) },
            { try front.resetDevice(by: .soon) },
            { try front.openBackChannel(by: .soon) },
            { _ = try front.configuration(at: 0, count: 8, by: .soon) },
            { _ = try front.inflightBuffer(rings: 1, ringSize: 8, by: .soon) },
            { try front.setLog(descriptor: 0, size: 1, by: .soon) },
        ]
        for request in requests {
            let error = #expect(throws: VhostUserError.self) { try request() }
            #expect(error?.kind == "not-negotiated")
        }
        #expect(front.messagesSent == sent)
        #expect(front.isOpen)
    }

    @Test("each request reaches the peer with its payload and descriptors")
    func requests() throws {
        let peer = try ScriptedPeer()
        let front = VhostUserFrontEnd(adopting: peer.frontEnd)
        _ = try front.open(by: .soon)
        let pipe = PipeEnds()
        let file = pipe.readEnd
        try front.setTable([(region(0, 4), file), (region(0x10000, 2), file)], by: .soon)
        try front.add(region(0x20000, 1), descriptor: file, by: .soon)
        try front.remove(region(0x10000, 2), by: .soon)
        #expect(peer.regions == [region(0, 4), region(0x20000, 1)])
        try front.setSize(ofRing: 2, to: 128, by: .soon)
        try front.setBase(ofRing: 2, to: 77, by: .soon)
        try front.setAddresses(
            ofRing: 2,
            to: VhostUserRingAddresses(descriptors: 0, available: 0x1000, used: 0x2000),
            logsUsed: true, by: .soon)
        try front.set([.version1], by: .soon)
        try front.setKick(ofRing: 2, descriptor: file, by: .soon)
        try front.setCall(ofRing: 2, descriptor: file, by: .soon)
        try front.setError(ofRing: 2, descriptor: nil, by: .soon)
        try front.setEnabled(ring: 2, true, by: .soon)
        let base: UInt64 = 1 << 60
        #expect(
            peer.state.withLock { $0.rings[2] }
                == ScriptedPeer.Ring(
                    size: 128, base: 77, addresses: [base, base + 0x2000, base + 0x1000],
                    logsUsed: true, isStarted: true, isEnabled: true, hasCall: true))
        #expect(try front.stop(ring: 2, call: file, by: .soon) == 77)
        try front.confirm(by: .soon)
        #expect(peer.state.withLock { $0.rings[2]?.hasCall } == true)
        #expect(try front.configuration(at: 4, count: 60, by: .soon).count == 60)
        try front.setConfiguration([1, 2], at: 0, by: .soon)
        try front.setLog(descriptor: file, size: 4096, by: .soon)
        try front.resetDevice(by: .soon)
        #expect(peer.broken == nil)
        front.close()
        peer.waitUntilOver()
        #expect(pipe.others == 0)
    }

    @Test(
        "a reply that can't be is a named error, and ends the connection",
        arguments: [
            ("malformed", WireHeader(37, isReply: true, size: 4)),
            ("malformed", WireHeader(37, size: 8)),
            ("malformed", WireHeader(37, isReply: true, size: 1 << 30)),
            ("wrong-reply", WireHeader(38, isReply: true, size: 8)),
            ("refused", WireHeader(37, isReply: true, size: 8)),
        ])
    func wrongReplies(_ kind: String, _ header: WireHeader) throws {
        let answer = header.bytes + [UInt8](repeating: 1, count: Int(min(header.size, 8)))
        let peer = try ScriptedPeer { _, request in
            request == .addRegion ? .send(answer, descriptors: []) : nil
        }
        let front = VhostUserFrontEnd(adopting: peer.frontEnd)
        _ = try front.open(by: .soon)
        let pipe = PipeEnds()
        let error = #expect(throws: VhostUserError.self) {
            try front.add(region(0, 1), descriptor: pipe.readEnd, by: .soon)
        }
        #expect(error?.kind == kind)
        #expect(front.isOpen == (kind == "refused"))
        front.close()
        peer.waitUntilOver()
        #expect(pipe.others == 0)
    }

    @Test("surplus descriptors are an error and are closed", arguments: [1, 3, 16])
    func surplusDescriptors(_ count: Int) throws {
        let pipe = PipeEnds()
        let passed = [Int32](repeating: pipe.writeEnd, count: count)
        let bytes = reply(37)
        let peer = try ScriptedPeer { _, request in
            request == .addRegion ? .send(bytes, descriptors: passed) : nil
        }
        let front = VhostUserFrontEnd(adopting: peer.frontEnd)
        _ = try front.open(by: .soon)
        let error = #expect(throws: VhostUserError.self) {
            try front.add(region(0, 1), descriptor: pipe.readEnd, by: .soon)
        }
        #expect(error?.kind == "wrong-descriptor-count")
        peer.waitUntilOver()
        #expect(pipe.others == 0)
    }

    @Test("an early reply is found before the next request")
    func earlyReply() throws {
        let bytes = reply(1)
        let peer = try ScriptedPeer { number, _ in
            guard number == 6 else { return nil }
            return .run { socket in
                // The second reply arrives with the first.
                try? socket.send(bytes + bytes, during: "test", by: .never)
            }
        }
        let front = VhostUserFrontEnd(adopting: peer.frontEnd)
        _ = try front.open(by: .soon)
        try front.confirm(by: .soon)
        let error = #expect(throws: VhostUserError.self) { try front.confirm(by: .soon) }
        #expect(error == .unsolicited(before: .getFeatures))
        #expect(!front.isOpen)
    }

    @Test("a missing reply is a timeout, and a late one is never read as another's")
    func missingReply() throws {
        let peer = try ScriptedPeer { _, request in request == .addRegion ? .keepSilent : nil }
        let front = VhostUserFrontEnd(adopting: peer.frontEnd)
        _ = try front.open(by: .soon)
        let error = #expect(throws: VhostUserError.self) {
            try front.add(region(0, 1), descriptor: 0, by: .after(.milliseconds(20)))
        }
        #expect(error == .timeout(during: "ADD_MEM_REG"))
        let next = #expect(throws: VhostUserError.self) { try front.confirm(by: .soon) }
        #expect(next == .closed(during: "GET_FEATURES"))
    }

    @Test("a peer that reads nothing makes a send end at the deadline")
    func fullSocket() throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { close(ends[1]) }
        let front = VhostUserFrontEnd(adopting: ends[0])
        var size: Int32 = 0
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, 4)
        let error = #expect(throws: VhostUserError.self) {
            while true {
                try front.setSize(ofRing: 0, to: 1, by: .after(.milliseconds(20)))
            }
        }
        #expect(error == .timeout(during: "SET_VRING_NUM"))
    }

    @Test("an acknowledgement of 0 before a hang-up is found by the round trip after it")
    func acknowledgedRefusal() throws {
        let peer = try ScriptedPeer { _, request in
            request == .addRegion ? .acknowledgeAndDie : nil
        }
        let front = VhostUserFrontEnd(adopting: peer.frontEnd)
        _ = try front.open(by: .soon)
        try front.add(region(0, 1), descriptor: 0, by: .soon)
        let error = #expect(throws: VhostUserError.self) { try front.confirm(by: .soon) }
        #expect(error == .closed(during: "GET_FEATURES"))
    }

    @Test("requests on the back channel are replied to while a reply is awaited")
    func backChannel() throws {
        let changes = Locked(0)
        let channel = Locked<OwnedDescriptor?>(nil)
        let statuses = Locked([UInt64]())
        let peer = try ScriptedPeer { _, request in
            guard request == .setLogBase else { return nil }
            return .run { _ in
                guard let own = channel.withLock({ $0 }) else { return }
                let socket = PeerSocket(descriptor: own)
                // A change of the configuration, and a request that was never negotiated.
                for number: UInt32 in [2, 3] {
                    let header = WireHeader(number, needsReply: true, size: 0)
                    try? socket.send(header.bytes, during: "test", by: .never)
                    guard let reply = try? socket.receive(during: "test", by: .soon) else { return }
                    var reader = WireReader(reply.payload)
                    let status: UInt64 = reader.next()
                    statuses.withLock { $0.append(status) }
                }
            }
        }
        let front = VhostUserFrontEnd(adopting: peer.frontEnd) { changes.withLock { $0 += 1 } }
        _ = try front.open(by: .soon)
        try front.openBackChannel(by: .soon)
        let number = try #require(peer.keptDescriptorNumbers.first)
        channel.withLock { $0 = try? OwnedDescriptor(duplicating: number) }
        try front.setLog(descriptor: 0, size: 4096, by: .soon)
        #expect(changes.withLock { $0 } == 1)
        #expect(statuses.withLock { $0 } == [0, 1])
        #expect(front.isOpen)
    }

    @Test("connecting to a path that nobody listens on names the call")
    func connect() throws {
        let error = #expect(throws: VhostUserError.self) {
            _ = try VhostUserFrontEnd(connectingTo: "/nonexistent/socket", by: .soon)
        }
        #expect(error == .systemCall("connect", .noEntry))
    }
}
