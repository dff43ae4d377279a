public import Memslots

extension SimulatedKernel {
    /// Carries one slot call out, wholly or not at all.
    ///
    /// What the call is follows from the slot that is there: a "creation" under an id in use, of
    /// the same size and userspace address, moves it.
    ///
    /// Kernel: `kvm_set_memory_region` in virt/kvm/kvm_main.c. Cost: logarithmic in the number of
    /// slots.
    ///
    /// - Parameters:
    ///   - request: the words of the call; a size of 0 deletes. Any values.
    ///   - form: which of the two calls it is.
    /// - Returns: what the call turned out to be.
    /// - Throws: the kernel's errno. Slots, dirty logs and bindings are then as before; a move
    ///   past the largest guest page has cost two swaps all the same.
    @discardableResult
    public mutating func setMemoryRegion(
        _ request: Memslot, form: SlotCallForm = .region2
    ) throws(Errno) -> SlotChange {
        do throws(Errno) {
            let change = try classify(request, form)
            switch change {
            case .create: try create(request)
            case .delete: delete(request.assignedKey)
            case .move: try move(request)
            case .flagsOnly: replace(request)
            case .unchanged: installed[request.assignedKey]?.slot = request
            }
            swapCount += change.swaps
            operationCounts.count(change)
            return change
        } catch {
            operationCounts.refused += 1
            throw error
        }
    }

    /// The rules that the slot breaks by itself, then those about the slot that is there.
    private func classify(
        _ request: Memslot, _ form: SlotCallForm
    ) throws(Errno) -> SlotChange {
        if form == .region, !request.flags.isSubset(of: [.logDirtyPages, .readOnly]) {
            throw .invalidArgument
        }
        guard SlotRules.broken(by: request, capabilities: capabilities).isEmpty else {
            throw .invalidArgument
        }
        guard let old = installed[request.assignedKey]?.slot else {
            if request.size == .zero { throw .invalidArgument }
            return .create
        }
        if request.size == .zero { return .delete }
        // What a guest_memfd slot was created with can't be changed, nor even said again.
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
        // A descriptor is looked at before the largest guest page, so it is bound and let go.
        var bound: GuestMemfdFiles.Bound?
        if request.flags.contains(.guestMemfd) {
            bound = try files.bind(request, providesOwn: capabilities.providesGuestMemfd)
        }
        if SlotRules.exceedsGuestPages(request, capabilities: capabilities) {
            if let bound { files.unbind(bound, from: request.assignedKey) }
            throw .invalidArgument
        }
        installed[request.assignedKey] = InstalledSlot(
            slot: request, log: newLog(request), bound: bound)
        addressOrder.insert(PageOrder.Entry(request))
    }

    private mutating func delete(_ key: SlotKey) {
        guard let old = installed.removeValue(forKey: key) else { return }
        addressOrder.remove(old.slot)
        if let bound = old.bound { files.unbind(bound, from: key) }
    }

    private mutating func move(_ request: Memslot) throws(Errno) {
        try requireFreePages(request)
        if SlotRules.exceedsGuestPages(request, capabilities: capabilities) {
            // The slot was invalidated for the guest before the kernel looked, and put back.
            swapCount += SlotChange.move.swaps
            throw .invalidArgument
        }
        if let old = installed[request.assignedKey]?.slot { addressOrder.remove(old) }
        addressOrder.insert(PageOrder.Entry(request))
        replace(request)
    }

    /// Puts `request` in its old self's place; the dirty log stays where both log.
    private mutating func replace(_ request: Memslot) {
        let log = newLog(request)
        func update(_ slot: inout InstalledSlot?) {
            slot?.slot = request
            if slot?.log == nil || log == nil { slot?.log = log }
        }
        update(&installed[request.assignedKey])
    }

    private func newLog(_ slot: Memslot) -> DirtyBitmap? {
        guard slot.isLogging else { return nil }
        return DirtyBitmap(pageCount: slot.pageCount, isFull: dirtyLogProtection.startsFull)
    }

    /// KVM's own slots stand in every address space, and in the way like any other.
    private func requireFreePages(_ request: Memslot) throws(Errno) {
        let range = request.guestPhysicalAddress..<request.guestPhysicalEnd
        if capabilities.reservedRanges.contains(where: { $0.overlaps(range) }) {
            throw .fileExists
        }
        let entry = PageOrder.Entry(request)
        if addressOrder.isOccupied(entry.pages, in: entry.space, except: entry.id) {
            throw .fileExists
        }
    }
}

extension PageOrder.Entry {
    /// The guest pages of a slot whose range is known not to wrap.
    init(_ slot: Memslot) {
        let first = slot.guestPhysicalAddress.pageNumber
        self.init(
            space: slot.addressSpace.rawValue, id: slot.assignedID.rawValue,
            pages: first..<first + slot.pageCount)
    }
}

extension PageOrder {
    fileprivate mutating func remove(_ slot: Memslot) {
        remove(
            startingAt: slot.guestPhysicalAddress.pageNumber, in: slot.addressSpace.rawValue)
    }
}
