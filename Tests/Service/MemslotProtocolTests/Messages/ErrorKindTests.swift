import MemslotProtocol
import Memslots
import Testing

@Suite("The kinds of error")
struct ErrorKindTests {
    /// The table of the protocol's reference.
    static let table: [Int: [String]] = [
        -32_700: ["parse-error"], -32_600: ["invalid-request"], -32_601: ["method-not-found"],
        -32_602: ["invalid-params"],
        -32_001: [
            "unknown-vm", "unknown-memory", "unknown-observer", "unknown-slot",
            "unknown-generation", "not-logging", "unmapped", "read-only",
        ],
        -32_002: ["vm-exists", "memory-exists", "observer-exists"],
        -32_003: [
            "misaligned-address", "misaligned-size", "zero-size", "address-overflow",
            "address-too-large", "size-too-large", "bad-userspace-address", "overlap",
            "duplicate-slot", "slot-out-of-range", "bad-address-space", "too-many-slots",
            "unsupported-flag", "reserved-address", "backing-missing", "backing-ambiguous",
            "backing-out-of-bounds", "backing-misaligned", "unknown-memory",
            "raw-address-refused", "guest-memfd-missing", "guest-memfd-range-bound",
        ],
        -32_004: ["generation-conflict"], -32_005: ["prepare-rejected"], -32_006: ["rolled-back"],
        -32_007: ["vm-failed"], -32_008: ["memory-in-use"], -32_009: ["limit-exceeded"],
        -32_010: ["not-permitted"], -32_011: ["backend-unavailable", "wrong-backend"],
        -32_012: ["quiesce-timeout"], -32_013: ["shutting-down"],
    ]

    @Test("the list is the table of the reference, under the same codes")
    func list() {
        let listed = Dictionary(grouping: ErrorKind.allCases, by: \.code).mapValues {
            $0.map(\.name)
        }
        #expect(listed == Self.table)
    }

    @Test("code and name together find the kind again")
    func inverse() {
        #expect(ErrorKind.allCases.allSatisfy { ErrorKind(code: $0.code, name: $0.name) == $0 })
        #expect(ErrorKind(code: -32_003, name: "unknown-vm") == nil)
        #expect(ErrorKind(code: -32_001, name: "unknown-memory") == .unknownMemory)
        #expect(ErrorKind(code: -32_003, name: "unknown-memory") == .slotOfUnknownMemory)
    }

    @Test("an error of several faults is written as the reference's example")
    func violations() throws {
        let faults = [
            ErrorData(
                .misalignedAddress, slot: 0, path: "slots[0].guestPhysicalAddress",
                errno: .invalidArgument),
            ErrorData(
                .zeroSize, slot: 0, addressSpace: 1, path: "slots[1].size", errno: .invalidArgument),
            ErrorData(.duplicateSlot, slot: 0, addressSpace: 0, path: "slots[1].slot"),
        ]
        let error = try #require(ProtocolError(violations: faults, count: 3, message: "no \"x\""))
        var encoder = ReplyEncoder()
        encoder.encode(error, id: RequestID(3))
        #expect(
            String(decoding: encoder.finish(), as: UTF8.self)
                == #"{"jsonrpc":"2.0","id":3,"error":{"code":-32003,"message":"no \"x\"","data":"#
                + #"{"kind":"misaligned-address","slot":0,"path":"slots[0].guestPhysicalAddress","#
                + #""errno":"EINVAL","violationCount":3,"violations":[{"kind":"misaligned-address","#
                + #""slot":0,"path":"slots[0].guestPhysicalAddress","errno":"EINVAL"},"#
                + #"{"kind":"zero-size","slot":0,"addressSpace":1,"path":"slots[1].size","#
                + #""errno":"EINVAL"},{"kind":"duplicate-slot","slot":0,"path":"slots[1].slot"}]}}}"#
        )
    }

    @Test("every member of an error's data is written")
    func members() {
        var writer = JSONWriter()
        writer.error(
            ProtocolError(
                ErrorData(
                    .quiesceTimeout, slot: .max, otherSlot: 2, addressSpace: 3, path: "p",
                    errno: .outOfMemory, operation: 4, generation: Generation(5), reason: "r",
                    limit: "l", vcpus: ["0", "1"], readers: ["a"]),
                message: "m"))
        #expect(
            String(decoding: writer.bytes, as: UTF8.self)
                == #"{"code":-32012,"message":"m","data":{"kind":"quiesce-timeout","#
                + #""slot":18446744073709551615,"otherSlot":2,"addressSpace":3,"path":"p","#
                + #""errno":"ENOMEM","operation":4,"generation":5,"reason":"r","limit":"l","#
                + #""vcpus":["0","1"],"readers":["a"]}}"#)
    }
}
