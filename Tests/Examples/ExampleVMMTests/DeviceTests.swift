import Memslots
import Testing

@testable import ExampleVMM

@Suite("the example's device")
struct DeviceTests {
    private func range(_ start: GuestPhysicalAddress, back bytes: UInt64) -> GuestRange {
        GuestRange(
            address: GuestPhysicalAddress(start.rawValue - bytes), size: ByteCount(2 * bytes))
    }

    @Test("reads a buffer that lies in two slots, and refuses one that lies in a hole")
    func twoSlots() throws {
        let layout = try Layout()
        let machine = try SimulatedMachine(layout)
        let device = Device(of: machine.table)
        let (low, high) = layout.ram.split(at: layout.middle)
        try machine.table.submit([layout.low, layout.bar, low, high])
        let border = high.guestPhysicalAddress
        let bytes = UnsafeMutableRawPointer(
            bitPattern: UInt(high.userspaceAddress.rawValue - 8))
        bytes?.storeBytes(of: 0x0101_0101_0101_0101, as: UInt64.self)
        bytes?.storeBytes(of: 0x0202_0202_0202_0202, toByteOffset: 8, as: UInt64.self)
        let both = range(border, back: 8)
        #expect(try device.checksum(of: [both, both]) == 48)
        try machine.table.submit([layout.low, layout.bar, low])
        #expect(throws: TranslationError.unmapped(border, range: 0)) {
            try device.checksum(of: [both])
        }
    }
}
