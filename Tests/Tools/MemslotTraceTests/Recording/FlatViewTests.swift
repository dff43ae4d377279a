import MemslotScenario
import MemslotTrace
import Memslots
import Testing

@Suite("What QEMU means and what is installed")
struct FlatViewTests {
    private let text = """
        FlatView #0\r
         AS "I/O", root: io\r
          0000000000000000-0000000000000fff (prio 0, ram): not this one\r
        \r
        FlatView #1\r
         AS "memory", root: system\r
         AS "cpu-memory-0", root: system\r
         Root memory region: system\r
          0000000000000000-00000000000bffff (prio 0, ram): pc.ram KVM\r
          00000000000c0000-00000000000dffff (prio 1, rom): pc.rom KVM\r
          00000000fec00000-00000000fec00fff (prio 0, i/o): kvm-ioapic\r
          00000000fffc0000-00000000ffffffff (prio 0, romd): pc.bios @0000000000020000 KVM\r
        """

    private func slot(
        _ id: UInt32, _ address: UInt64, _ size: UInt64, _ flags: MemslotFlags = [],
        at user: UInt64 = 0x7f00_0000_0000
    ) -> Memslot {
        Memslot(
            id: SlotID(rawValue: id), guestPhysicalAddress: GuestPhysicalAddress(rawValue: address),
            size: ByteCount(rawValue: size), userspaceAddress: UserspaceAddress(rawValue: user),
            flags: flags)
    }

    @Test("the memory of the system's view is read, and nothing else")
    func rows() {
        let view = FlatViewText(text)
        #expect(view.rows.map(\.kind) == ["ram", "rom", "romd"])
        #expect(view.rows.map(\.name) == ["pc.ram", "pc.rom", "pc.bios"])
        #expect(view.rows.last?.range == 0xfffc_0000..<0x1_0000_0000)
    }

    @Test("slots that are as meant differ in nothing")
    func same() {
        let slots = [
            slot(0, 0, 0xa0000), slot(3, 0xa0000, 0x20000), slot(1, 0xc0000, 0x20000, .readOnly),
            slot(2, 0xfffc_0000, 0x40000, .readOnly),
        ]
        #expect(FlatViewText(text).differences(from: slots).isEmpty)
    }

    @Test("a writable ROM, a gap and an additional slot are reported")
    func differences() {
        let slots = [
            slot(0, 0, 0xa0000), slot(1, 0xc0000, 0x20000),
            slot(2, 0xfffc_0000, 0x40000, .readOnly), slot(7, 0x1_0000_0000, 0x1000),
        ]
        #expect(
            FlatViewText(text).differences(from: slots).map(\.text) == [
                "0x0-0xbffff (ram pc.ram): no slot at 0xa0000-0xbffff",
                "0xc0000-0xdffff (rom pc.rom): slot 1 is writable",
                "slot 7 at 0x100000000-0x100000fff: the view has no memory there",
            ])
    }

    @Test("a device's memory is memory, its names may have spaces, and a tree is refused")
    func ramd() {
        let view = FlatViewText(
            """
            FlatView #0
             AS "memory", root: system
              00000000c0000000-00000000c0087fff (prio 0, ramd): 0000:01:00.0 BAR 0 mmaps[0] KVM
              00000000c0089000-00000000c0ffffff (prio 0, nv-ram): 0000:01:00.0 BAR 0 mmaps[0] @0000000000089000 KVM owner:{dev id=x}
              00000000d0000000-00000000d0000fff (prio 0, ram): elsewhere
            """)
        #expect(
            view.rows.map(\.name) == ["0000:01:00.0 BAR 0 mmaps[0]", "0000:01:00.0 BAR 0 mmaps[0]"])
        #expect(view.rows.map(\.offset) == [0, 0x89000])
        #expect(!view.isTree)
        #expect(
            FlatViewText(
                "address-space: memory\n  0000000000000000-00000000000fffff (prio 0, ram): pc.ram"
            ).isTree)
    }
}
