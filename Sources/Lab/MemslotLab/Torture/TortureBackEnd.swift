import Glibc
import MemslotService
import MemslotTestKit
import MemslotVhostUser
import Memslots

/// A disk of qemu-storage-daemon that follows the memory of a torture, with requests always in
/// flight. Ring and buffers are in memory of their own, of which each array has more or less, cut
/// elsewhere. The region's memory is moved, cut and taken away under it.
struct TortureBackEnd {
    /// The guest address of ring and buffers, above the guest's code.
    private static let start = GuestPlacement.lowBytes.rawValue
    private static let more: UInt64 = 32
    private let memory: GuestMemory
    private let guest: DiskGuest
    private let observer: VhostUserObserver
    private let daemon: DaemonProcess

    /// - Parameter region: the file behind the region.
    init(region: Int32) throws(TortureError) {
        let program = "/usr/bin/qemu-storage-daemon"
        guard access(program, X_OK) == 0 else {
            throw .unavailable("--observer vhost-user: \(program) is not installed")
        }
        do throws(TargetLost) {
            daemon = try DaemonProcess(executable: program, hasLogFile: true, names: []) { folder in
                [
                    "--blockdev", "driver=file,node-name=disk,filename=\(folder)/disk", "--export",
                    "type=vhost-user-blk,id=export,node-name=disk,writable=on,num-queues=1,"
                        + "addr.type=unix,addr.path=\(folder)/s",
                ]
            }
            // Another does not end it while its front end is connected.
            daemon.lastSignal = SIGKILL
            let zeros = [UInt8](repeating: 0, count: DiskGuest.blocks * 4_096)
            guard Files.write(zeros, to: daemon.directory + "/disk") else {
                throw TargetLost("\(daemon.directory)/disk can't be written")
            }
            try daemon.start()
            _ = try daemon.waitUntilReady()
        } catch { throw .program(error.message) }
        memory = try converting(
            { TortureError.system($0) }, GuestMemory(size: .pages(DiskGuest.pages + Self.more)))
        guest = DiskGuest(memory, at: Self.start)
        let files = [MemoryObjectID(rawValue: 1): region, 2: memory.descriptor]
        do throws(VhostUserError) {
            let front = try VhostUserFrontEnd(
                connectingTo: daemon.directory + "/s", by: .after(.seconds(10)))
            let offer = try front.open(by: .after(.seconds(10)))
            try front.set([.version1], by: .after(.seconds(10)))
            observer = try VhostUserObserver(
                name: "disk", frontEnd: front, offer: offer,
                isVisible: { $0.memory != nil && VhostUserObserver.isWritableMemory($0) },
                descriptor: { files[$0] })
        } catch { throw .backEnd(error) }
    }

    /// The slots of ring and buffers, cut at a random page. Behind them more or less of their
    /// memory follows, so that the back end's region around the ring is cut too.
    func slots(_ random: inout SeededRandom) -> [Memslot] {
        let cut = UInt64.random(in: 0...DiskGuest.pages, using: &random)
        let end = DiskGuest.pages + .random(in: 0...Self.more, using: &random)
        let pieces = [0..<cut, cut..<end].filter { !$0.isEmpty }
        return pieces.enumerated().map { index, pages in
            let offset = ByteCount.pages(pages.lowerBound)
            return Memslot(
                id: SlotID(UInt32(64 + index)),
                guestPhysicalAddress: GuestPhysicalAddress(Self.start + offset.rawValue),
                size: .pages(UInt64(pages.count)),
                userspaceAddress: UserspaceAddress(memory.base.rawValue + offset.rawValue),
                memory: MemoryReference(object: 2, offset: offset))
        }
    }

    /// Follows the table, and starts the requests.
    func start(_ table: MemslotTable, seed: UInt64) throws(TortureError) {
        do throws(VhostUserError) {
            try observer.attach(to: table)
            try observer.start(guest.ring, by: .after(.seconds(10)))
        } catch { throw .backEnd(error) }
        try converting({ TortureError.system($0) }, guest.begin(seed: seed))
    }

    /// Waits for two more requests, so that some are in flight at every moment of a torture.
    func awaitRequests() throws(TortureError) {
        let (wanted, end) = (guest.completed + 2, Deadline.after(.seconds(60)))
        while guest.completed < wanted {
            if case .lost(let error) = observer.backEndState { throw .backEnd(error) }
            if end.hasPassed { throw .program("the disk returns no request") }
            usleep(50)
        }
    }

    /// Ends the requests, and compares the disk's file with what was written.
    func finish(_ counts: inout Tally<TortureReport.Count>) {
        let disk = guest.end()
        let bytes = Files.read(daemon.directory + "/disk") ?? []
        let wanted = (0..<DiskGuest.blocks).flatMap { DiskGuest.contents($0, disk.versions[$0]) }
        counts[.diskRequests] = UInt64(disk.completed)
        counts[.ringStops] = UInt64(observer.ringStops)
        counts[.wrongBlocks] = UInt64(disk.wrong) + (bytes == wanted ? 0 : 1)
        counts[.lostRequests] = UInt64(disk.lost)
        counts[.lostBackEnds] = observer.backEndState == .attached ? 0 : 1
    }
}
