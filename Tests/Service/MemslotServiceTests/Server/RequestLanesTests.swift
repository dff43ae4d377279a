import MemslotProtocol
import Testing

@testable import MemslotService

extension ServerTests {
    @Suite("the order of requests")
    struct RequestLanesTests {
        @Test("requests of one VM follow each other, others don't wait")
        func twoVMs() {
            var lanes = RequestLanes()
            let hasBegun = [
                lanes.enqueue(1, names: ["a"]), lanes.enqueue(2, names: ["a"]),
                lanes.enqueue(3, names: ["b"]), lanes.enqueue(4, names: []),
            ]
            #expect(hasBegun == [true, false, true, true])
            let began = [lanes.finish(3), lanes.finish(1), lanes.finish(4), lanes.finish(2)]
            #expect(began == [[], [2], [], []])
            #expect(lanes.count == 0)
        }

        @Test("a batch waits for all VMs that it names, and holds all up")
        func batch() {
            var lanes = RequestLanes()
            let hasBegun = [
                lanes.enqueue(1, names: ["a"]), lanes.enqueue(2, names: ["b"]),
                lanes.enqueue(3, names: ["a", "b"]), lanes.enqueue(4, names: ["b"]),
            ]
            #expect(hasBegun == [true, true, false, false])
            let began = [lanes.finish(1), lanes.finish(2), lanes.finish(3)]
            #expect(began == [[], [3], [4]])
        }

        @Test("requests that may begin at once begin in the order in which they came")
        func order() {
            var lanes = RequestLanes()
            let hasBegun = [
                lanes.enqueue(1, names: ["b", "a"]), lanes.enqueue(2, names: ["a"]),
                lanes.enqueue(3, names: ["b"]),
            ]
            #expect(hasBegun == [true, false, false])
            let began = lanes.finish(1)
            #expect(began == [2, 3])
        }

        @Test("a batch that names a VM twice stands in its lane once, and names are bytes")
        func laneNames() throws {
            let names = ["a", "caf\u{E9}", "a", "cafe\u{301}"]
            let batch = names.map { #"{"id":1,"method":"memslots.get","params":{"vm":"\#($0)"}}"# }
            let line = RequestDecoder().decode(Array("[\(batch.joined(separator: ","))]".utf8))
            #expect(line.laneNames == ["a", Name(names[1]), Name(names[3])])
        }

        @Test(
            "whatever comes and goes, exactly those run that no earlier one of their VMs precedes")
        func random() {
            var random = SystemRandomNumberGenerator()
            var faults: [String] = []
            for _ in 0..<200 {
                var lanes = RequestLanes()
                var present: [(number: UInt64, names: Set<Name>)] = []
                var running: Set<UInt64> = []
                var last: UInt64 = 0
                for _ in 0..<100 {
                    if Bool.random(using: &random) || running.isEmpty {
                        last += 1
                        let names = Set<Name>(
                            ["a", "b", "c", "d"].filter { _ in
                                Int.random(in: 0..<3, using: &random) == 0
                            })
                        present.append((last, names))
                        if lanes.enqueue(last, names: Array(names)) { running.insert(last) }
                    } else if let number = running.randomElement(using: &random) {
                        running.remove(number)
                        present.removeAll { $0.number == number }
                        running.formUnion(lanes.finish(number))
                    }
                    let expected = present.indices.filter { index in
                        present[..<index].allSatisfy {
                            $0.names.isDisjoint(with: present[index].names)
                        }
                    }
                    if Set(expected.map { present[$0].number }) != running {
                        faults.append("\(present) runs \(running)")
                    }
                }
            }
            #expect(faults.isEmpty)
        }
    }
}
