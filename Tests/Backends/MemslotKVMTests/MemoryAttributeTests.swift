import MemslotKVM
import Memslots
import Testing

extension OnKVM {
    @Suite("memory attributes of a real VM")
    struct MemoryAttributeTests {
        private let range = GuestRange(address: GuestPhysicalAddress(1 << 32), size: .page)

        @Test("the table and the kernel agree on whether a range can be private")
        func agreement() throws {
            let backend = try KVMBackend(system: KVMSystem())
            let table = try MemslotTable(backend: backend)
            let isSupported =
                backend.kernel.memoryAttributes & 8 != 0 && backend.capabilities.addressSpaces == 1
            #expect(table.capabilities.memoryAttributes == isSupported)
            var options = SubmitOptions()
            options.privateRanges = [range]
            guard !isSupported else {
                #expect(try table.submit([], options: options).attributes.count == 1)
                options.privateRanges = []
                #expect(try table.submit([], options: options).attributes.count == 1)
                return
            }
            do throws(SubmitError) {
                try table.submit([], options: options)
                Issue.record("a VM without the capability has accepted a private range")
            } catch {
                #expect(error.kind == "unsupported-flag")
                #expect(error.message.contains("KVM_CAP_MEMORY_ATTRIBUTES"))
            }
            #expect(table.snapshot().generation == Generation(0))
            // What the check spares the guest: the request exists or not, but the bit is unknown.
            var errno: Errno?
            do throws(Errno) {
                try backend.setMemoryAttributes(of: range, isPrivate: true)
            } catch { errno = error }
            #expect(errno == .invalidArgument || errno == Errno(rawValue: 25))
        }
    }
}
