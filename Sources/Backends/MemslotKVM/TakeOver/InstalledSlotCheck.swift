import CKVM
import Memslots

/// Holds a list of slots against what is installed, without changing it.
///
/// KVM has no call that lists slots, and its one call creates, moves or reflags where the list is
/// wrong. So each request here is one that the kernel refuses whatever is installed; the errno
/// tells. Where one is carried out after all, the list was wrong, and it is taken back.
struct InstalledSlotCheck {
    let vm: VirtualMachine
    let capabilities: Capabilities
    let kernel: KVMCapabilities
    let mode: DirtyLogMode

    /// Checks all address spaces.
    ///
    /// - Throws: the first slot that isn't as listed.
    func check(_ slots: [Memslot]) throws(KVMError) {
        var listed: Set<SlotKey> = []
        for slot in slots {
            let isFit =
                SlotRules.broken(by: slot, capabilities: capabilities).isEmpty
                && slot.pageCount > 0
            guard isFit else { throw .installedSlotDiffers(slot.assignedKey, .invalid) }
            guard listed.insert(slot.assignedKey).inserted else {
                throw .installedSlotDiffers(slot.assignedKey, .listedTwice)
            }
        }
        for space in 0..<capabilities.addressSpaces {
            let space = AddressSpaceID(rawValue: space)
            let slots = slots.filter { $0.addressSpace == space }
            let free = (0..<capabilities.maxSlots).reversed()
                .map { SlotKey(addressSpace: space, id: SlotID(rawValue: $0)) }
                .filter { !listed.contains($0) }
            try checkUnlisted(free, against: slots.first)
            for slot in slots { try check(slot, with: free.first) }
        }
    }

    /// No unlisted id is in use: creating it over an occupied page is refused with `EEXIST`
    /// where it is free, with `EINVAL` where it names a slot of another size or address.
    private func checkUnlisted(_ free: [SlotKey], against known: Memslot?) throws(KVMError) {
        guard let first = free.first else { return }
        let page = known?.guestPhysicalAddress.rawValue ?? lastPage
        var begin = 0
        var mustDelete = false
        switch claim(page, as: first) {
        case nil:
            // Nothing was there: right only if nothing is listed. Then the page serves as the
            // occupied one for the others.
            if let known {
                try release(page, of: first)
                throw .installedSlotDiffers(known.assignedKey, .absent)
            }
            mustDelete = true
            begin = 1
        case .fileExists: break
        case let errno?: throw unlisted(first, errno)
        }
        var failure: KVMError?
        for key in free[begin...] {
            let errno = claim(page, as: key)
            if errno == .fileExists { continue }
            if errno == nil { try release(page, of: key) }
            failure = errno.map { unlisted(key, $0) } ?? .installedSlotUnlisted(key)
            break
        }
        if mustDelete { try release(page, of: first) }
        if let failure { throw failure }
    }

    /// A listed slot is there, with its size, address and flags, and nowhere else.
    ///
    /// With its first and last page occupied, setting it again as listed can't move it: either
    /// these pages are its own, and it stands there already, or another's, and the kernel refuses.
    private func check(_ slot: Memslot, with free: SlotKey?) throws(KVMError) {
        let first = slot.guestPhysicalAddress.rawValue
        if let free {
            for page in [first, first + slot.size.rawValue - pageSize.rawValue] {
                switch claim(page, as: free) {
                case .fileExists: break
                case nil:
                    try release(page, of: free)
                    throw .installedSlotDiffers(slot.assignedKey, .absent)
                case let errno?: throw explanation(errno)
                }
            }
        }
        try checkLogging(slot)
        let errno = RegionWords(installing: slot)
            .set(on: vm.descriptor, byRegion2: kernel.hasRegion2)
        let isGuestMemfd = slot.flags.contains(.guestMemfd)
        switch errno {
        case nil where !isGuestMemfd: return
        // The kernel refuses any change of a guest-memfd slot, even none.
        case .invalidArgument where isGuestMemfd: return
        case nil, .invalidArgument: throw .installedSlotDiffers(slot.assignedKey, .differs)
        case .fileExists, .badFileDescriptor:
            throw .installedSlotDiffers(slot.assignedKey, .elsewhere)
        case let errno?: throw explanation(errno)
        }
    }

    /// Clearing pages far past the end is refused with `ENOENT` where there is no bitmap, else
    /// with `EINVAL`. A ring answers `ENXIO` and a kernel before 5.2 `ENOTTY`: the flag can't be
    /// seen there.
    private func checkLogging(_ slot: Memslot) throws(KVMError) {
        if case .ring = mode { return }
        guard kernel.hasManualDirtyLog else { return }
        var word: UInt64 = 0
        let result = CallResult(
            ckvm_clear_dirty_log(vm.descriptor, slot.assignedKey.kernelWord, 1 << 40, 64, &word))
        let isLogging: Bool
        switch result.errno {
        case .invalidArgument: isLogging = true
        case .noEntry: isLogging = false
        // ENXIO under a ring that the options don't tell of.
        case let errno: throw explanation(errno ?? .invalidArgument, "KVM_CLEAR_DIRTY_LOG")
        }
        guard isLogging == slot.isLogging else {
            throw .installedSlotDiffers(slot.assignedKey, .logging)
        }
    }

    private var lastPage: UInt64 { capabilities.maxGuestPage * pageSize.rawValue }

    /// Asks for one page under `key`, with a userspace address that no slot has.
    private func claim(_ page: UInt64, as key: SlotKey) -> Errno? {
        claimWords(page, key, size: pageSize.rawValue).set(on: vm.descriptor, byRegion2: false)
    }

    private func release(_ page: UInt64, of key: SlotKey) throws(KVMError) {
        let words = claimWords(page, key, size: 0)
        if let errno = words.set(on: vm.descriptor, byRegion2: false) { throw explanation(errno) }
    }

    private func claimWords(_ page: UInt64, _ key: SlotKey, size: UInt64) -> RegionWords {
        RegionWords(
            slot: key.kernelWord, address: page, size: size,
            userspaceAddress: capabilities.userspaceEnd.rawValue - pageSize.rawValue)
    }

    private func unlisted(_ key: SlotKey, _ errno: Errno) -> KVMError {
        errno == .invalidArgument ? .installedSlotUnlisted(key) : explanation(errno)
    }

    private func explanation(
        _ errno: Errno, _ call: String = "KVM_SET_USER_MEMORY_REGION"
    ) -> KVMError {
        vm.explanation(of: errno, from: call)
    }
}
