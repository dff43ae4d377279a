package import Memslots

extension SimulatedKernel {
    /// Applies one slot call, completely or not at all.
    ///
    /// The effect depends on the installed slot: a "creation" with a used id, the same size and the
    /// same userspace address moves that slot.
    ///
    /// Kernel: `kvm_set_memory_region` in virt/kvm/kvm_main.c. Cost: logarithmic in the number of
    /// slots.
    ///
    /// - Parameters:
    ///   - request: the words of the call, with any values. A size of 0 deletes.
    ///   - form: which of the two calls it is.
    /// - Returns: the effect of the call.
    /// - Throws: the kernel's errno. Slots, dirty logs and bindings are then unchanged. A move past
    ///   the largest guest page has still counted two swaps, as in the kernel.
    @discardableResult
    package mutating func setMemoryRegion(
        _ request: Memslot, form: SlotCallForm = .region2
    ) throws(Errno) -> SlotChange {
        do throws(Errno) {
            let change = try classify(request, form)
            switch change {
            case .create: try create(request)
            case .delete: delete(request.assignedKey)
            case .move: try move(request)
            case .flagsOnly: replace(request)
            case .unchanged: installed[request.assignedKey] = request
            }
            swapCount += change.swaps
            operationCounts.count(change)
            return change
        } catch {
            operationCounts.refused += 1
            throw error
        }
    }

    /// Checks the rules for the slot alone, then those that depend on the installed slot.
    private func classify(_ request: Memslot, _ form: SlotCallForm) throws(Errno) -> SlotChange {
        if form == .region, !request.flags.isSubset(of: [.logDirtyPages, .readOnly]) {
            throw .invalidArgument
        }
        let broken = SlotRules.broken(
            by: request, capabilities: capabilities, unit: capabilities.pageSize)
        guard broken.isEmpty else { throw .invalidArgument }
        guard let old = installed[request.assignedKey] else {
            if request.size == .zero { throw .invalidArgument }
            return .create
        }
        if request.size == .zero { return .delete }
        // A guest_memfd slot can neither be changed nor set again unchanged.
        let immutable: MemslotFlags = [.readOnly, .guestMemfd]
        guard !request.flags.contains(.guestMemfd), request.size == old.size,
            request.userspaceAddress == old.userspaceAddress,
            request.flags.intersection(immutable) == old.flags.intersection(immutable)
        else { throw .invalidArgument }
        if request.guestPhysicalAddress != old.guestPhysicalAddress { return .move }
        return request.flags == old.flags ? .unchanged : .flagsOnly
    }

    private mutating func create(_ request: Memslot) throws(Errno) {
        try requireFreePages(request)
        // The kernel checks the descriptor before the largest guest page: bind first, unbind later.
        var bound: GuestMemfdFiles.Bound?
        if request.flags.contains(.guestMemfd) {
            bound = try files.bind(request, providesOwn: capabilities.providesGuestMemfd)
        }
        if let errno = SlotRules.lastRefusal(of: request, capabilities: capabilities) {
            if let bound { files.unbind(bound, from: request.assignedKey) }
            throw errno
        }
        let key = request.assignedKey
        installed[key] = request
        logs[key] = newLog(request)
        bindings[key] = bound
        addressOrder.insert(PageOrder.Entry(request, capabilities.pageSize))
    }

    private mutating func delete(_ key: SlotKey) {
        guard let old = installed.removeValue(forKey: key) else { return }
        addressOrder.remove(old, capabilities.pageSize)
        logs[key] = nil
        if let bound = bindings.removeValue(forKey: key) { files.unbind(bound, from: key) }
    }

    private mutating func move(_ request: Memslot) throws(Errno) {
        try requireFreePages(request)
        if let errno = SlotRules.lastRefusal(of: request, capabilities: capabilities) {
            // The kernel invalidates the slot for the guest before this check, and restores it.
            swapCount += SlotChange.move.swaps
            throw errno
        }
        if let old = installed[request.assignedKey] {
            addressOrder.remove(old, capabilities.pageSize)
        }
        addressOrder.insert(PageOrder.Entry(request, capabilities.pageSize))
        replace(request)
    }

    /// Replaces the installed slot. The dirty log stays if both log.
    private mutating func replace(_ request: Memslot) {
        let key = request.assignedKey
        installed[key] = request
        if logs[key] == nil || !request.isLogging { logs[key] = newLog(request) }
    }

    private func newLog(_ slot: Memslot) -> DirtyBitmap? {
        guard slot.isLogging else { return nil }
        return DirtyBitmap(
            pageCount: capabilities.pageCount(of: slot), isFull: dirtyLogProtection.startsFull)
    }

    /// Checks that the guest pages are free, also of KVM's own slots in every address space.
    private func requireFreePages(_ request: Memslot) throws(Errno) {
        let range = request.guestPhysicalAddress..<request.guestPhysicalEnd
        if capabilities.reservedRanges.contains(where: { $0.overlaps(range) }) { throw .fileExists }
        let entry = PageOrder.Entry(request, capabilities.pageSize)
        if addressOrder.isOccupied(entry.pages, in: entry.space, except: entry.id) {
            throw .fileExists
        }
    }
}

extension PageOrder.Entry {
    /// The guest pages of a slot whose range does not wrap.
    init(_ slot: Memslot, _ pageSize: ByteCount) {
        let first = slot.guestPhysicalAddress.pages(of: pageSize)
        self.init(
            space: slot.addressSpace.rawValue, id: slot.assignedID.rawValue,
            pages: first..<first + slot.size.pages(of: pageSize))
    }
}

extension PageOrder {
    fileprivate mutating func remove(_ slot: Memslot, _ pageSize: ByteCount) {
        remove(
            startingAt: slot.guestPhysicalAddress.pages(of: pageSize),
            in: slot.addressSpace.rawValue)
    }
}
