import CLinux
import MemslotTestKit
import Memslots
import Testing

@testable import MemslotVhostUser

/// Accepts every call, until it is told to fail one.
final class AcceptingBackend: MemslotBackend {
    let capabilities = Capabilities()
    let failures = Locked(0)

    func beginTransaction() {}
    func apply(_ call: SlotCall) throws(Errno) {
        let fails = failures.withLock { failures in
            defer { failures = max(0, failures - 1) }
            return failures == 1
        }
        if fails { throw .outOfMemory }
    }
    func collectDirtyPages() {}
    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        DirtyBitmap(pageCount: slot.pageCount)
    }
}

/// A VM with one back end of ours.
///
/// Guest page n is page n of the file, unless a slot says otherwise. A ring of 8 entries is on the
/// pages 2, 3 and 4.
final class VMWithBackEnd: Sendable {
    static let pages: UInt64 = 256
    let memory: GuestMemory
    let backend = AcceptingBackend()
    let table: MemslotTable
    let peer: ScriptedPeer
    let front: VhostUserFrontEnd
    let offer: VhostUserOffer
    let observer: VhostUserObserver
    let states = Locked([VhostUserState]())
    let kick: OwnedDescriptor
    let call: OwnedDescriptor

    init(
        slots: [Memslot]? = nil, offer: ScriptedPeer.Offer = ScriptedPeer.Offer(),
        wanting: VhostUserProtocolFeatures = .handled, memory: GuestMemory? = nil,
        waitsForRequests: Bool = false,
        fault: @escaping @Sendable (Int, VhostUserRequest) -> ScriptedPeer.Fault? = { _, _ in nil }
    ) throws {
        let memory = try memory ?? GuestMemory(size: .pages(Self.pages))
        self.memory = memory
        table = try MemslotTable(backend: backend)
        peer = try ScriptedPeer(offer, fault: fault)
        front = VhostUserFrontEnd(adopting: peer.frontEnd)
        self.offer = try front.open(wanting: wanting, by: .soon)
        try front.set([.version1], by: .soon)
        kick = OwnedDescriptor(adopting: clinux_eventfd())
        call = OwnedDescriptor(adopting: clinux_eventfd())
        let (file, states) = (memory.descriptor, states)
        observer = try VhostUserObserver(
            name: "disk", frontEnd: front, offer: self.offer, descriptor: { $0 == 1 ? file : nil },
            waitsForRequests: waitsForRequests,
            stateChanged: { state in states.withLock { $0.append(state) } })
        if let slots { try table.submit(slots) }
    }

    /// A slot of `pages` guest pages from `page` on, with the file from `filePage` on behind it.
    func slot(_ page: UInt64, _ pages: UInt64, filePage: UInt64? = nil) -> Memslot {
        let filePage = filePage ?? page
        return Memslot(
            guestPhysicalAddress: GuestPhysicalAddress(page * 4_096), size: .pages(pages),
            userspaceAddress: UserspaceAddress(memory.base.rawValue + filePage * 4_096),
            memory: MemoryReference(object: 1, offset: .pages(filePage)))
    }

    func ring(
        _ index: Int = 0, page: UInt64 = 2, buffers: [Range<GuestPhysicalAddress>]? = nil
    ) -> VhostUserRing {
        VhostUserRing(
            index: index, size: 8,
            addresses: VhostUserRingAddresses(
                descriptors: GuestPhysicalAddress(page * 4_096),
                available: GuestPhysicalAddress((page + 1) * 4_096),
                used: GuestPhysicalAddress((page + 2) * 4_096)),
            kick: kick.number, call: call.number, buffers: buffers)
    }

    /// Writes the indexes of the ring on `page`.
    func setIndexes(page: UInt64 = 2, available: UInt16, used: UInt16) {
        memory.store(UInt32(available) << 16, (page + 1) * 4_096)
        memory.store(UInt32(used) << 16, (page + 2) * 4_096)
    }

    /// Runs `body`, and returns the messages that the observer sent meanwhile.
    func messages(_ body: () throws -> Void) rethrows -> [VhostUserRequest: Int] {
        let before = observer.messagesSent
        try body()
        return observer.messagesSent.merging(before) { $0 - $1 }.filter { $0.value != 0 }
    }
}

/// What a restart of `rings` rings sends, with its round trip.
func restartMessages(_ rings: Int) -> [VhostUserRequest: Int] {
    // The kick is sent twice: to silence the ring, and to restart it. So is the call, and right behind
    // the stop.
    [
        .setRingKick: 2 * rings, .getRingBase: rings, .setRingCall: 3 * rings,
        .setRingSize: rings, .setRingBase: rings, .setRingAddresses: rings, .setRingEnable: rings,
        .getFeatures: 1,
    ]
}
