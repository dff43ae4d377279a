import MemslotSimulator
import Memslots
import Testing

@Suite("simulator configuration")
struct SimulatorConfigurationTests {
    @Test("the defaults are those of x86-64 KVM")
    func defaults() throws {
        let capabilities = try SimulatorConfiguration().capabilities()
        #expect(capabilities == Capabilities())
        #expect(capabilities.maxSlots == 32_764)
        #expect(capabilities.guestPhysicalBits == 52)
    }

    @Test("each limit reaches the backend")
    func limits() throws {
        var configuration = SimulatorConfiguration()
        configuration.maxSlots = 3
        configuration.addressSpaces = 2
        configuration.guestPhysicalBits = 20
        configuration.userspaceEnd = UserspaceAddress(0x7f00_0001_0000)
        configuration.flags = .readOnly
        configuration.dirtyLogProtection = .manualInitiallySet
        let backend = try SimulatedBackend(configuration: configuration)
        #expect(backend.capabilities.dirtyLogStartsFull)
        let refused = [
            slot(3, page: 0), slot(0, page: 0, space: 2), slot(0, page: 253),
            slot(0, page: 0, host: 13), slot(0, page: 0, flags: .logDirtyPages),
            slot(0, page: 0, flags: .guestMemfd),
        ]
        for words in refused {
            #expect(throws: Errno.invalidArgument) { try backend.apply(.create(words)) }
        }
        try backend.apply(.create(slot(2, page: 252, flags: .readOnly, host: 12, space: 1)))
    }

    @Test("a member out of its range is named")
    func outOfRange() {
        func error(
            _ change: (inout SimulatorConfiguration) -> Void
        ) -> SimulatorConfigurationError? {
            var configuration = SimulatorConfiguration()
            change(&configuration)
            do throws(SimulatorConfigurationError) {
                _ = try configuration.capabilities()
                return nil
            } catch {
                return error
            }
        }
        #expect(error { $0.maxSlots = 0 } == .maxSlots)
        #expect(error { $0.maxSlots = 1 << 20 } == nil)
        #expect(error { $0.maxSlots = (1 << 20) + 1 } == .maxSlots)
        #expect(error { $0.addressSpaces = 0 } == .addressSpaces)
        #expect(error { $0.addressSpaces = 65_537 } == .addressSpaces)
        #expect(error { $0.guestPhysicalBits = 11 } == .guestPhysicalBits)
        #expect(error { $0.guestPhysicalBits = 12 } == nil)
        #expect(error { $0.guestPhysicalBits = 64 } == nil)
        #expect(error { $0.guestPhysicalBits = 65 } == .guestPhysicalBits)
        #expect(error { $0.userspaceEnd = UserspaceAddress(0) } == .userspaceEnd)
        #expect(error { $0.userspaceEnd = UserspaceAddress(4097) } == .userspaceEnd)
        #expect(error { $0.flags = MemslotFlags(rawValue: 8) } == .flags)
    }
}
