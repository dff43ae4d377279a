import CKVM

/// Which processors the threads of a torture run on: the one that changes slots on the first, the
/// vCPUs on the others.
///
/// On one and the same, a transaction would mostly be over before the guest runs again, and
/// nothing of it could be seen. Where there is only one, all share it.
struct Processors {
    /// The processors that this thread may use, ascending.
    private let allowed: [Int]

    /// Words of a mask: enough for 8,192 processors, which is the most that Linux is built for.
    private static let words = 128

    init() {
        var mask = [UInt64](repeating: 0, count: Self.words)
        _ = ckvm_get_affinity(&mask, Self.words * 8)
        allowed = (0..<Self.words * 64).filter { mask[$0 / 64] >> ($0 % 64) & 1 == 1 }
    }

    /// Puts the calling thread on the first.
    func takeFirst() {
        if allowed.count > 1 { bind([allowed[0]]) }
    }

    /// Puts the calling thread on one of the others.
    func takeAnother(_ vcpu: Int) {
        if allowed.count > 1 { bind([allowed[1 + vcpu % (allowed.count - 1)]]) }
    }

    /// Lets the calling thread use all again.
    func giveBack() {
        if allowed.count > 1 { bind(allowed) }
    }

    private func bind(_ processors: [Int]) {
        var mask = [UInt64](repeating: 0, count: Self.words)
        for processor in processors { mask[processor / 64] |= 1 << (processor % 64) }
        // Refused, it is only less of a torture.
        _ = ckvm_set_affinity(&mask, Self.words * 8)
    }
}
