/// A table as a ``TableReader`` sees it, valid inside its closure only.
public struct TableView: ~Copyable {
    @usableFromInline let lines: UnsafeMutablePointer<ReaderLines>
    @usableFromInline let version: UnsafePointer<VersionLines>

    @inlinable
    @inline(__always)
    init(lines: UnsafeMutablePointer<ReaderLines>, version: UnsafePointer<VersionLines>) {
        (self.lines, self.version) = (lines, version)
    }

    /// The generation.
    @inlinable public var generation: Generation {
        Generation(rawValue: version.pointee.generation)
    }

    /// The table as a value, to keep or to pass on. Counts references: not for each lookup.
    public var snapshot: TableSnapshot {
        version.pointee.version._withUnsafeGuaranteedRef { $0.snapshot }
    }

    /// What is behind `address` in address space 0; `nil` where no slot is.
    ///
    /// Cost: 1 to 2 ns where it is the slot of the last hit, a few more where not.
    @inlinable
    @inline(__always)
    public borrowing func translate(_ address: GuestPhysicalAddress) -> Translation? {
        let last = lines.pointee.lastHit
        let offset = address.rawValue &- last.pointee.start
        // Marked as likely, so that registers are saved for a search only when a search happens.
        if _fastPath(offset < last.pointee.size) { return Translation(last, offset: offset) }
        return search(address)
    }

    /// What is behind `address` in `addressSpace`; `nil` where no slot is.
    @inlinable
    public borrowing func translate(
        _ address: GuestPhysicalAddress, in addressSpace: AddressSpaceID
    ) -> Translation? {
        if addressSpace.rawValue == 0 { return translate(address) }
        guard let tree = tree(of: addressSpace) else { return nil }
        return hit(tree.lastStart(atOrBelow: address.rawValue), address)
    }

    /// The slot that a translation of this view is of.
    ///
    /// - Returns: `nil` if the position is outside of this array.
    /// - Warning: for a translation of another array this may return a wrong slot.
    public borrowing func slot(of translation: Translation) -> Memslot? {
        let position = Int(translation.positionAndFlags >> 3)
        return version.pointee.version._withUnsafeGuaranteedRef { version in
            let slots = version.snapshot.array.slots
            return position < slots.count ? slots[position] : nil
        }
    }

    @inlinable
    @inline(__always)
    borrowing func search(_ address: GuestPhysicalAddress) -> Translation? {
        guard let tree = lines.pointee.main else { return nil }
        let record = tree.lastStart(atOrBelow: address.rawValue)
        let translation = hit(record, address)
        if translation != nil { lines.pointee.lastHit = UnsafePointer(record) }
        return translation
    }

    @inlinable
    @inline(__always)
    borrowing func hit(
        _ record: UnsafeMutablePointer<SlotRecord>, _ address: GuestPhysicalAddress
    ) -> Translation? {
        let offset = address.rawValue &- record.pointee.start
        guard offset < record.pointee.size else { return nil }
        return Translation(record, offset: offset)
    }

    @usableFromInline
    borrowing func tree(of addressSpace: AddressSpaceID) -> UnsafeMutablePointer<SlotTree>? {
        version.pointee.version._withUnsafeGuaranteedRef {
            $0.snapshot.array.index.tree(of: addressSpace.rawValue)
        }
    }
}
