package import Memslots

/// One submit of a scenario, with the VM as it is before it: where faults are tried.
package struct SweepScene: Sendable {
    /// Where it is from: file and line.
    package var origin: String
    /// What the VM has.
    package var before: [Memslot]
    /// What is submitted; some slots may have no id.
    package var wanted: [Memslot]
    /// When vCPUs are held out.
    package var quiesce: SubmitOptions.Quiesce
    /// The VM's limits.
    package var capabilities: Capabilities

    /// Describes a scene.
    package init(
        origin: String, before: [Memslot], wanted: [Memslot],
        quiesce: SubmitOptions.Quiesce = .auto, capabilities: Capabilities = Capabilities()
    ) {
        self.origin = origin
        self.before = before
        self.wanted = wanted
        self.quiesce = quiesce
        self.capabilities = capabilities
    }

    /// The guest_memfds that slots name, with the bytes that each must have.
    var guestMemfds: [Int32: UInt64] {
        var sizes: [Int32: UInt64] = [:]
        for slot in before + wanted {
            guard let binding = slot.guestMemfd, binding != .own else { continue }
            let end = binding.offset.rawValue + slot.size.rawValue
            sizes[binding.descriptor] = max(sizes[binding.descriptor] ?? 0, end)
        }
        return sizes
    }

    /// The scene with other descriptors for its guest_memfds.
    func renaming(_ descriptors: [Int32: Int32]) -> SweepScene {
        guard !descriptors.isEmpty else { return self }
        var scene = self
        scene.before = before.map { $0.renaming(descriptors) }
        scene.wanted = wanted.map { $0.renaming(descriptors) }
        return scene
    }
}
