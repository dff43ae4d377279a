internal import MemslotProtocol
internal import Memslots

/// Charges the dirty bits that the server keeps for a VM, before there may be any.
///
/// A KVM guest may write any page of a slot that logs. A simulated guest writes what `guest.touch`
/// names; a carried page then costs as much in each slot that maps it.
final class DirtyCharge: Sendable {
    private struct State {
        var held = 0
        /// Bytes of the bits that simulated writes may have left in one slot.
        var touched = 0
        /// As `touched`, when the bits were counted.
        var counted = 0
        /// As `touched`, if a deletion after the hold of a submit that runs fails.
        var filled = 0

        var most: Int { max(touched, filled) }
    }

    private let state = Locked(State())
    private let account: UserAccount
    private let isSimulated: Bool
    private let pageSize: ByteCount

    init(_ account: UserAccount, isSimulated: Bool, pageSize: ByteCount) {
        (self.account, self.isSimulated, self.pageSize) = (account, isSimulated, pageSize)
    }

    deinit { account.budgets.dirtyBytes.release(state.withLock { $0.held }, of: account.user) }

    /// Charges what bits of `slots` may take, beside those of the present array. Throws
    /// `limit-exceeded`; nothing is charged then.
    func charge(for slots: [Memslot], touching pages: UInt64 = 0) throws(ProtocolError) {
        try change { state in
            // No bitmap is as large.
            state.touched = min(state.touched + Self.bytes(of: pages), 1 << 40)
            return slots
        }
    }

    /// Charges a log of `pages` pages that is full in each of `slots` that logs, until
    /// ``settleFilling(_:)``. Throws `limit-exceeded`; nothing is charged then.
    func charge(filling slots: [Memslot], _ pages: UInt64) throws(ProtocolError) {
        try change { state in
            state.filled = Self.bytes(of: pages)
            return slots
        }
    }

    /// Ends ``charge(filling:_:)``, after which the logs may be full, or are not.
    func settleFilling(_ mayBeFull: Bool) {
        state.withLock { state in
            if mayBeFull { state.touched = state.most }
            state.filled = 0
        }
    }

    /// Changes the state, and charges what the slots that `body` returns may take then.
    private func change(_ body: (inout State) -> [Memslot]) throws(ProtocolError) {
        try state.withLock { state throws(ProtocolError) in
            var next = state
            let bytes = bytes(of: body(&next), next.most)
            if bytes > state.held {
                try account.budgets.dirtyBytes.charge(bytes - state.held, to: account.user)
                next.held = bytes
            }
            state = next
        }
    }

    /// The bytes of a range of pages: it has two chunks of its own at most; the others are full.
    private static func bytes(of pages: UInt64) -> Int {
        min(
            Int(clamping: pages) * 128,
            2 * RequestCost.bitmapBytes(1 << 15) + Int(clamping: pages >> 15) * 48)
    }

    /// Releases what `slots`, the present array, don't need. `touched` are the bytes of the bits of
    /// one slot at most, where they were counted.
    func settle(for slots: [Memslot], touched: Int? = nil) {
        state.withLock { state in
            let touched = slots.contains(where: \.isLogging) ? touched : 0
            if let touched { (state.touched, state.counted) = (touched, touched) }
            let rest = state.held - bytes(of: slots, state.most)
            guard rest > 0 else { return }
            state.held -= rest
            account.budgets.dirtyBytes.release(rest, of: account.user)
        }
    }

    /// Records that bits were cleared, or went with their slots.
    func recordClearing() { state.withLock { $0.counted = 0 } }

    /// Whether there may be far fewer bits than those that are charged. Counting them takes long.
    var isWorthCounting: Bool { state.withLock { $0.touched >= 2 * $0.counted } }

    private func bytes(of slots: [Memslot], _ touched: Int) -> Int {
        slots.reduce(0) { sum, slot in
            guard slot.isLogging else { return sum }
            let bitmap = RequestCost.bitmapBytes(slot.size.pages(of: pageSize))
            // The simulator keeps bits, and so does the table.
            return sum + (isSimulated ? 2 * min(bitmap, touched) : bitmap)
        }
    }
}

/// Charges what the kernel allocates for the slots of a VM, before the first call.
final class KernelCharge: Sendable {
    private let held = Locked(0)
    private let account: UserAccount
    private let memory: KernelSlotMemory?

    init(_ account: UserAccount, _ memory: KernelSlotMemory?) {
        (self.account, self.memory) = (account, memory)
    }

    deinit { account.budgets.kernelMemory.release(held.withLock { $0 }, of: account.user) }

    /// Charges `slots`, or only checks that it could. Old slots are deleted before new ones are
    /// created; with continuity some of them afterwards, so that `present` stays beside `slots` for
    /// a while. `ranges` are all that are private meanwhile. Throws `limit-exceeded`; nothing is
    /// charged then.
    func charge(
        for slots: [Memslot], beside present: [Memslot], _ ranges: GuestRangeSet, isPlan: Bool
    ) throws(ProtocolError) {
        guard let memory else { return }
        let kept = Set(slots)
        let bytes = memory.bytes(of: slots + present.filter { !kept.contains($0) }, ranges)
        try held.withLock { held throws(ProtocolError) in
            let more = bytes - held
            guard more > 0 else { return }
            guard !isPlan else {
                return try account.budgets.kernelMemory.check(more, of: account.user)
            }
            try account.budgets.kernelMemory.charge(more, to: account.user)
            held += more
        }
    }

    /// Releases what the present table doesn't need.
    func settle(for table: EventFeed.Published) {
        guard let memory else { return }
        held.withLock { held in
            let rest = held - memory.bytes(of: table.slots, table.installedRanges)
            account.budgets.kernelMemory.release(rest, of: account.user)
            held -= rest
        }
    }
}

extension VirtualMachine {
    /// Charges the dirty bits and the kernel's memory of an array that is submitted or planned, and
    /// the dirty logs that are read for it. Returns what counts the logs, until the transaction is
    /// done. Throws `limit-exceeded`.
    func chargeDirty(
        for slots: [Memslot], _ options: SubmitOptions, isPlan: Bool
    ) throws(ProtocolError) -> BudgetCharge? {
        let published = feed.published.table
        let present = published.slots
        // A plan's list is not validated yet; one with a fault costs the kernel nothing.
        let wanted = options.privateRanges ?? []
        let added = table.capabilities.faults(ofPrivate: wanted).isEmpty ? wanted : []
        // With a change of attributes all operations are inside the hold.
        let hasParts =
            options.quiesce == .continuity
            && (options.privateRanges == nil || GuestRangeSet(added) == published.privateRanges)
        try kernel.charge(
            for: slots, beside: hasParts ? present : [],
            GuestRangeSet(published.installedRanges.ranges + added), isPlan: isPlan)
        if !isPlan { try dirty.charge(for: slots) }
        guard present.contains(where: \.isLogging) else { return nil }
        let kept = Set(slots)
        guard simulator == nil else {
            let leaving = present.filter { !kept.contains($0) }
            if !isPlan, hasParts, !leaving.allSatisfy(\.isLogging) {
                // All pages of the logs that had ended are dirty then.
                let ended = leaving.filter(\.isLogging).map(table.capabilities.pageCount(of:)).max()
                try dirty.charge(filling: present, ended ?? 0)
            }
            return nil
        }
        let logs = present.reduce(0) { sum, slot in
            guard slot.isLogging, !kept.contains(slot) else { return sum }
            // The kernel's words, the bitmap, and a list of runs: 16 bytes for two pages, and as
            // much while it grows. The guest can't have written more pages than the host has.
            let pages = table.capabilities.pageCount(of: slot)
            return sum + 2 * RequestCost.bitmapBytes(pages)
                + 16 * Int(clamping: min(pages, account.budgets.hostPages))
        }
        guard logs > RequestCost.freeBytes / 2 else { return nil }
        return try account.budgets.requestBytes.charged(logs, to: account.user)
    }

    /// Charges the clearing of a part of a log of `count` pages: a full chunk of 2^15 pages that is
    /// cut by an end of the range keeps a bit for each page afterwards. Throws `limit-exceeded`.
    func chargeClearing(_ pages: Range<UInt64>, of count: UInt64) throws(ProtocolError) {
        for end in [pages.lowerBound, pages.upperBound]
        where end != count && !end.isMultiple(of: 1 << 15) { return try chargeCutChunks() }
    }

    /// Charges two chunks that are no longer full. Throws `limit-exceeded`.
    func chargeCutChunks() throws(ProtocolError) {
        if simulator != nil { try chargeTouch(of: 1 << 15) }
    }

    /// Charges a simulated write of `pages` pages. Throws `limit-exceeded`.
    func chargeTouch(of pages: UInt64) throws(ProtocolError) {
        let slots = feed.published.table.slots
        do throws(ProtocolError) { try dirty.charge(for: slots, touching: pages) } catch {
            guard dirty.isWorthCounting else { throw error }
            // Pages that were written again, or cleared, were counted more than once.
            let most = slots.lazy.filter(\.isLogging).map { [table] slot in
                let pages = table.capabilities.pageCount(of: slot)
                let count = (try? table.dirtyLog(of: slot))?.bitmap.count ?? pages
                return min(128 * Int(clamping: count), RequestCost.bitmapBytes(pages))
            }.max()
            dirty.settle(for: slots, touched: most ?? 0)
            try dirty.charge(for: slots, touching: pages)
        }
    }
}
