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
    }

    private let state = Locked(State())
    private let account: UserAccount
    private let isSimulated: Bool
    private let pageSize: ByteCount

    init(_ account: UserAccount, isSimulated: Bool, pageSize: ByteCount) {
        (self.account, self.isSimulated, self.pageSize) = (account, isSimulated, pageSize)
    }

    deinit { account.budgets.dirtyBytes.release(state.withLock { $0.held }, of: account.user) }

    /// Charges what bits of `slots` may take, beside those of the present array. Returns by how much
    /// that raises what one slot may have. Throws `limit-exceeded`; nothing is charged then.
    @discardableResult
    func charge(for slots: [Memslot], touching pages: UInt64 = 0) throws(ProtocolError) -> Int {
        try state.withLock { state throws(ProtocolError) in
            // A range of pages has two chunks of its own at most; the others are full.
            let more = min(
                Int(clamping: pages) * 128,
                2 * RequestCost.bitmapBytes(1 << 15) + Int(clamping: pages >> 15) * 48)
            // No bitmap is as large.
            let touched = min(state.touched + more, 1 << 40)
            let bytes = bytes(of: slots, touched)
            if bytes > state.held {
                try account.budgets.dirtyBytes.charge(bytes - state.held, to: account.user)
                state.held = bytes
            }
            defer { state.touched = touched }
            return touched - state.touched
        }
    }

    /// Takes back what ``charge(for:touching:)`` returned, for writes that were not made.
    func recordUntouched(_ bytes: Int) { state.withLock { $0.touched -= bytes } }

    /// Releases what `slots`, the present array, don't need. `touched` are the bytes of the bits of
    /// one slot at most, where they were counted.
    func settle(for slots: [Memslot], touched: Int? = nil) {
        state.withLock { state in
            if let touched { (state.touched, state.counted) = (touched, touched) }
            let rest = state.held - bytes(of: slots, state.touched)
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
    ///
    /// - Parameter touched: receives what is charged for a deletion after the hold that fails.
    func chargeDirty(
        for slots: [Memslot], _ options: SubmitOptions, isPlan: Bool, touched: inout Int
    ) throws(ProtocolError) -> BudgetCharge? {
        let published = feed.published.table
        let present = published.slots
        // A plan's list is not validated yet; one with a fault costs the kernel nothing.
        let wanted = options.privateRanges ?? []
        let added = table.capabilities.faults(ofPrivate: wanted).isEmpty ? wanted : []
        try kernel.charge(
            for: slots, beside: options.quiesce == .continuity ? present : [],
            GuestRangeSet(published.installedRanges.ranges + added), isPlan: isPlan)
        if !isPlan { try dirty.charge(for: slots) }
        guard present.contains(where: \.isLogging) else { return nil }
        let kept = Set(slots)
        guard simulator == nil else {
            let leaving = present.filter { !kept.contains($0) }
            if !isPlan, options.quiesce == .continuity, !leaving.allSatisfy(\.isLogging) {
                // All pages of the logs that had ended are dirty then.
                let ended = leaving.filter(\.isLogging).map(table.capabilities.pageCount(of:)).max()
                touched = try dirty.charge(for: present, touching: ended ?? 0)
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
