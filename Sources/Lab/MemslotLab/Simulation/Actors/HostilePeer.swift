import MemslotProtocol
import MemslotService
import MemslotTestKit

/// A peer of another user that crosses its limits, and uses up what all users have together. It
/// must be refused by the limit's name, and hold what it was granted. The world's own user has a
/// reserve: its submits must not notice.
final class HostilePeer: SimulatedActor {
    /// How many slots each of its VMs has.
    private var slots: [String: Int] = [:]
    private lazy var line = WireLine(
        world, name, events: nil, user: 60_000 + UInt32(name.utf8.last ?? 0))

    override func run() {
        while !world.isOver {
            let vm = "vm-\(random.draw(0...5))"
            switch (slots[vm], random.draw(0...3)) {
            case (nil, _): create(vm)
            case (_, 0): destroy(vm)
            case (_, 1): submit(random.draw(0...80), to: vm)
            case (let count?, _): submit(count + MachineShape.limits.slotsPerPeer - sum, to: vm)
            }
            let held = line.call("metrics.get", "{}")?["result"]?["gauges"]
            world.check(
                held?["vms"]?.int == slots.count && held?["slots"]?.int == sum, .limitsHold,
                "\(name) has \(slots); the service has \(held?.rawText ?? "nothing")")
            world.sleep(milliseconds: random.draw(5...20))
        }
        for vm in slots.keys.sorted() { destroy(vm) }
        world.service.end(line.connection)
    }

    private var sum: Int { slots.values.reduce(0, +) }

    private func create(_ vm: String) {
        let full = slots.count == MachineShape.limits.vmsPerPeer ? "vmsPerPeer" : nil
        if request("vm.create", #"{"vm":"\#(vm)","backend":"simulated"}"#, [full]) { slots[vm] = 0 }
    }

    private func destroy(_ vm: String) {
        _ = request("vm.destroy", #"{"vm":"\#(vm)"}"#, [nil])
        world.hostileSlots -= slots.removeValue(forKey: vm) ?? 0
    }

    private func submit(_ count: Int, to vm: String) {
        let array = (0..<count).map {
            #"{"guestPhysicalAddress":\#($0 << 12),"size":4096,"userspaceAddress":\#(1 << 20)}"#
        }
        let (limits, more) = (MachineShape.limits, count - slots[vm, default: 0])
        // The service releases slots only after the submit.
        world.hostileSlots += max(more, 0)
        let (asked, isOwn) = (world.hostileSlots, more > 0 && sum + more > limits.slotsPerPeer)
        let isScarce = { more > 0 && max(asked, self.world.hostileSlots) > limits.slots - 32 }
        let isGranted = request(
            "memslots.submit", #"{"vm":"\#(vm)","slots":[\#(array.joined(separator: ","))]}"#,
            isOwn ? ["slotsPerPeer"] : isScarce() ? [nil, "slots"] : [nil])
        if isGranted { slots[vm] = count }
        world.hostileSlots += isGranted ? min(more, 0) : -max(more, 0)
    }

    /// Checks that one of `limits`, `nil` for none, refuses it. Returns whether it was granted.
    private func request(
        _ method: String, _ parameters: String, _ limits: @autoclosure () -> [String?]
    ) -> Bool {
        let reply = line.call(method, parameters)
        let isGranted = reply?["result"] != nil
        let limit = isGranted ? nil : reply?["error"]?["data"]?["limit"]?.string ?? "no limit"
        world.check(
            limits().contains(limit), .limitsHold,
            "\(name) has \(slots); \(method) \(parameters.prefix(60)): \(limit ?? "granted")")
        if !isGranted { world.counts[.refusals] += 1 }
        return isGranted
    }
}
