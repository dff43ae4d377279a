import Testing

@testable import Memslots

@Suite("faults that were found before")
struct PriorFaultTests {
    @Test("refuse an array that is there already")
    func present() throws {
        let array = [slot(0, at: 0)]
        let table = try MemslotTable(backend: ModelBackend(array), installed: array)
        let fault = Violation(.unknownMemory, of: array[0], at: 0, detail: "no such memory")
        #expect(throws: SubmitError.invalid(InvalidArray(violations: [fault], count: 1))) {
            try table.submit(array, options: SubmitOptions(), prior: [fault])
        }
        #expect(try table.submit(array).outcome == .unchanged)
    }

    @Test("every size and address off the page is refused, half a page too")
    func halfPages() throws {
        let table = try MemslotTable(backend: ModelBackend())
        for odd in [1, 512, 2_048, 4_095] as [UInt64] {
            var size = slot(0, at: 0)
            size.size = ByteCount(4_096 + odd)
            var address = slot(0, at: 0)
            address.guestPhysicalAddress = GuestPhysicalAddress(odd)
            var host = slot(0, at: 0)
            host.userspaceAddress = UserspaceAddress(0x1000_0000 + odd)
            let kinds: [ViolationKind] = [
                .misalignedSize, .misalignedAddress, .badUserspaceAddress,
            ]
            for (wrong, kind) in zip([size, address, host], kinds) {
                guard case .invalid(let faults) = table.refusal(of: [wrong]) else {
                    Issue.record("\(kind) by \(odd) was taken")
                    continue
                }
                #expect(faults.violations.map(\.kind) == [kind])
            }
        }
    }
}
