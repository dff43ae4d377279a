import Foundation
import MemslotKVM
import Memslots
import TestSupport
import Testing

extension OnKVM {
    @Suite("raw slot calls")
    struct RawVMTests {
        private let raw: KVMRawVM

        init() throws { self.raw = try KVMRawVM(system: KVMSystem()) }

        private func set(
            _ slot: UInt32, flags: UInt32 = 0, at address: UInt64, size: UInt64 = 0x4000,
            from userspaceAddress: UInt64 = 0x7f00_0000_0000, guestMemfd: RawGuestMemfd? = nil,
            offset: UInt64 = 0
        ) -> String {
            raw.setUserMemoryRegion(
                RawRegion(
                    slot: slot, flags: flags, guestPhysicalAddress: address, memorySize: size,
                    userspaceAddress: userspaceAddress, guestMemfd: guestMemfd,
                    guestMemfdOffset: offset))?.name ?? "ok"
        }

        @Test("if two rules are broken, the kernel's order decides")
        func orders() throws {
            let past = try raw.vm.system.limits().maxGuestPage * 4096
            #expect(set(0, at: 0) == "ok")
            #expect(set(1, at: 0x10000) == "ok")
            // Immutability before overlap.
            #expect(set(0, at: 0x10000, size: 0x8000) == "EINVAL")
            #expect(set(0, at: 0x10000) == "EEXIST")
            // Overlap before the largest page.
            #expect(set(2, at: past, size: 0x1000) == "ok")
            #expect(set(3, at: past, size: 0x2000) == "EEXIST")
            #expect(set(3, at: past + 0x1000, size: 0x2000) == "EINVAL")
            // The largest page is checked for a move too; an identical call changes nothing.
            #expect(set(0, at: past + 0x1000) == "EINVAL")
            #expect(set(0, at: 0) == "ok")
        }

        @Test("a bad guest_memfd is checked after the overlap and before the largest page")
        func guestMemfd() throws {
            guard KVMCapabilities(of: raw.vm).hasGuestMemfd else {
                try Test.cancel("no guest_memfd here")
            }
            let past = try raw.vm.system.limits().maxGuestPage * 4096 + 0x1000
            let flag = MemslotFlags.guestMemfd.rawValue
            #expect(set(0, at: 0) == "ok")
            #expect(set(0, flags: flag, at: 0, guestMemfd: RawGuestMemfd.none) == "EINVAL")
            #expect(set(1, flags: flag, at: 0, guestMemfd: RawGuestMemfd.none) == "EEXIST")
            #expect(set(1, flags: flag, at: past, guestMemfd: RawGuestMemfd.none) == "EBADF")
            for kind in [.kvm, .vm, .memfd, .otherVM] as [RawGuestMemfd] {
                #expect(set(1, flags: flag, at: 0x10000, guestMemfd: kind) == "EINVAL", "\(kind)")
            }
            let file = RawGuestMemfd.file(index: 0)
            #expect(set(1, flags: flag, at: 0x10000, guestMemfd: file, offset: 1) == "EINVAL")
            #expect(set(1, flags: flag, at: 0x10000, guestMemfd: file, offset: 8 << 20) == "EINVAL")
            #expect(set(1, flags: flag, at: 0x10000, guestMemfd: file) == "ok")
            // A bound range, another range, another file.
            #expect(set(2, flags: flag, at: 0x20000, guestMemfd: file) == "EINVAL")
            #expect(set(2, flags: flag, at: 0x20000, guestMemfd: file, offset: 0x4000) == "ok")
            #expect(set(3, flags: flag, at: 0x30000, guestMemfd: .file(index: 1)) == "ok")
            // An identical call is refused, and the older call does not have the flag.
            #expect(set(1, flags: flag, at: 0x10000, guestMemfd: file) == "EINVAL")
            #expect(set(4, flags: flag, at: 0x40000) == "EINVAL")
            #expect(set(1, at: 0x10000, size: 0) == "ok")
        }

        private struct Vector: Decodable {
            let slot: UInt32
            let flags: UInt32
            let guestPhysAddr: String
            let memorySize: String
            let userspaceAddr: String
            let errno: String?
        }

        @Test("this kernel returns the results of the recorded vectors")
        func vectors() throws {
            let limits = try raw.vm.system.limits()
            let isRecorded =
                limits.maxGuestPage == (1 << 40) - 1
                && limits.userspaceEnd == UserspaceAddress(0x7fff_ffff_f000)
                && raw.vm.value(of: .multiAddressSpace) == 0
            guard isRecorded else { try Test.cancel("the vectors are of a host with other limits") }
            let file = Repository.fixture("vectors/random-1.jsonl")
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
            #expect(lines.count == 724)
            func number(_ text: String) throws -> UInt64 {
                try #require(UInt64(text.dropFirst(2), radix: 16))
            }
            var differences: [String] = []
            for (index, line) in lines.enumerated() {
                let vector = try decoder.decode(Vector.self, from: Data(line.utf8))
                let answer = set(
                    vector.slot, flags: vector.flags, at: try number(vector.guestPhysAddr),
                    size: try number(vector.memorySize), from: try number(vector.userspaceAddr))
                let expected = vector.errno ?? "ok"
                if answer != expected {
                    differences.append("line \(index + 1): \(answer), not \(expected)")
                }
            }
            #expect(differences.isEmpty, "\(differences.prefix(3))")
        }
    }
}
