import Memslots

extension Reply {
    /// At least as many bytes as the encoded reply has. Costs less than encoding it.
    package var byteBound: Int {
        switch self {
        case .done, .vm, .created, .recovered, .memory, .exported, .atomic: Bound.small
        case .serverInfo(let info): Bound.small * 4 + info.stateBytes
        case .vms(let vms): Bound.small + vms.reduce(0) { $0 + 192 + Bound.text($1.vm) }
        case .memories(let all): Bound.small + all.reduce(0) { $0 + 128 + Bound.text($1.memory) }
        case .observer(let observer): Bound.small + observer.byteBound
        case .observers(let all): Bound.small + all.reduce(0) { $0 + $1.byteBound }
        case .receipt(let receipt): receipt.byteBound
        case .array(let array): array.byteBound
        case .translations(_, let addresses):
            addresses.reduce(Bound.small) { sum, element in
                switch element {
                case .address(nil): sum + 5
                case .address(let place?): sum + place.byteBound
                case .range(let pieces): pieces.reduce(sum + 3) { $0 + $1.place.pieceByteBound }
                }
            }
        case .history(let receipts, _): Bound.small + receipts.reduce(0) { $0 + $1.byteBound }
        case .dirtyLog(_, _, _, _, let bitmap): Bound.small + bitmap.count / 3 * 4 + 4
        case .subscribed(let arrays): Bound.small + arrays.reduce(0) { $0 + $1.byteBound }
        case .metrics(let metrics): metrics.byteBound
        }
    }
}

extension ProtocolError {
    package var byteBound: Int {
        violations.reduce(Bound.small + data.byteBound + Bound.text(message)) { $0 + $1.byteBound }
    }
}

extension ErrorData {
    fileprivate var byteBound: Int {
        let texts = [message, path, reason, limit] + (vcpus ?? []) + (readers ?? [])
        return texts.reduce(512) { $0 + Bound.text($1) + 1 }
    }
}

/// The most bytes that parts of a reply have.
private enum Bound {
    /// A reply of a fixed number of members, with two names.
    static let small = 2_048
    /// A slot without its backing.
    static let slot = 240
    /// A slot in a list of keys; twice that is a range of memory attributes.
    static let key = 48
    static let operation = 224
    /// A run of dirty pages.
    static let run = 24

    /// A string: control characters become six bytes.
    static func text(_ text: String?) -> Int { (text?.utf8.count ?? 0) * 6 + 2 }
}

extension SlotBacking {
    fileprivate var byteBound: Int {
        guard case .memory(let name, _) = self else { return 64 }
        return 64 + Bound.text(name)
    }
}

extension TranslatedAddress { fileprivate var byteBound: Int { 208 + backing.byteBound } }

extension TranslatedAddress? {
    /// At least as many bytes as the piece of a range has there.
    package var pieceByteBound: Int { 32 + (self?.byteBound ?? 16) }
}

extension NamedSlots {
    fileprivate var byteBound: Int {
        reduce(16) { $0 + Bound.slot + $1.backing.byteBound + Bound.text($1.guestMemfd) }
    }
}

extension ArrayMessage {
    package var byteBound: Int {
        192 + Bound.text(vm) + slots.byteBound + 2 * attributes.count * Bound.key
    }
}

extension ReceiptMessage {
    package var byteBound: Int {
        let diff = receipt.diff
        let keys =
            diff.added.count + diff.removed.count + diff.moved.count + diff.reflagged.count
            + 2 * receipt.attributes.count
        let dirty = receipt.unmappedDirtyPages.reduce(0) { $0 + 80 + $1.runs.count * Bound.run }
        let texts = (receipt.readers + receipt.warnings).reduce(0) { $0 + Bound.text($1) + 1 }
        return Bound.small + keys * Bound.key + receipt.operations.count * Bound.operation + dirty
            + texts + receipt.observers.reduce(0) { $0 + $1.byteBound }
            + (slots?.byteBound ?? 0) + (changed?.byteBound ?? 0)
    }
}

extension ObserverReport {
    fileprivate var byteBound: Int {
        192 + Bound.text(observer) + Bound.text(reason) + messages.count * 64
    }
}

extension MetricsMessage {
    fileprivate var byteBound: Int {
        // Each value is a name, and a number of up to 20 digits.
        let figures = ([user] + vms).reduce(0) { sum, figures in
            sum + 256 + Bound.text(figures.vm) + figures.counters.count * 64
                + figures.histograms.reduce(0) { $0 + 128 + $1.values.count * 64 }
        }
        let users = users.reduce(0) { $0 + 64 + $1.gauges.count * 64 }
        return Bound.small + gauges.count * 64 + users + figures + openMetrics.utf8.count * 2
    }
}

extension ServerInfo {
    fileprivate var stateBytes: Int {
        guard let state else { return 0 }
        return (state.unrestored + state.damaged + state.ahead).reduce(0) {
            $0 + 64 + Bound.text($1.vm) + Bound.text($1.file) + Bound.text($1.reason)
        }
    }
}
