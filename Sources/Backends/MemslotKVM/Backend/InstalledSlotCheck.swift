import CKVM
import Memslots

/// Checks a list of slots against the installed ones, without changing them.
///
/// KVM has no call that lists slots, and its slot call creates, moves or reflags if the list is
/// wrong. So each request here is one that the kernel refuses whatever is installed; the errno shows
/// what is. If one succeeds after all, the list is wrong, and the request is undone.
struct InstalledSlotCheck {
    let vm: VirtualMachine
    let capabilities: Capabilities
    let kernel: KVMCapabilities
    let mode: DirtyLogMode

    /// Checks all address spaces.
    ///
    /// - Throws: the first slot that is not as listed.
    func check(_ slots: [Memslot]) throws(KVMError) {
        var listed: Set<SlotKey> = []
        for slot in slots {
            let isFit =
                SlotRules.broken(by: slot, capabilities: capabilities).isEmpty && slot.size != .zero
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

    /// Checks that no unlisted id is used. Creating it on an occupied page fails with `EEXIST` if it
    /// is free, with `EINVAL` if it names a slot of another size or address.
    private func checkUnlisted(_ free: [SlotKey], against known: Memslot?) throws(KVMError) {
        guard let first = free.first else { return }
        let page = known?.guestPhysicalAddress.rawValue ?? lastPage
        var begin = 0
        var mustDelete = false
        switch claim(page, as: first) {
        case nil:
            // The page was free, which is right only if nothing is listed. Then the page serves as
            // the occupied one for the other ids.
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

    /// Checks that a listed slot is installed with its size, address and flags.
    ///
    /// Its first and last page are occupied, so setting it again as listed cannot move it: either
    /// these pages are its own and nothing changes, or they are another's and the kernel refuses.
    private func check(_ slot: Memslot, with free: SlotKey?) throws(KVMError) {
        let first = slot.guestPhysicalAddress.rawValue
        if let free {
            for page in [first, first + slot.size.rawValue - capabilities.pageSize.rawValue] {
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
            .apply(to: vm.descriptor, byRegion2: kernel.hasRegion2)
        let isGuestMemfd = slot.flags.contains(.guestMemfd)
        switch errno {
        case nil where !isGuestMemfd: return
        // The kernel refuses to set a guest-memfd slot again, even unchanged.
        case .invalidArgument where isGuestMemfd: return
        case nil, .invalidArgument: throw .installedSlotDiffers(slot.assignedKey, .differs)
        case .fileExists, .badFileDescriptor:
            throw .installedSlotDiffers(slot.assignedKey, .elsewhere)
        case let errno?: throw explanation(errno)
        }
    }

    /// Checks the slot's `log-dirty-pages`. Clearing pages far past the end fails with `ENOENT` if
    /// there is no bitmap, otherwise with `EINVAL`. The flag is invisible with a ring (`ENXIO`) and
    /// before Linux 5.2 (`ENOTTY`).
    private func checkLogging(_ slot: Memslot) throws(KVMError) {
        if case .ring = mode { return }
        guard kernel.hasManualDirtyLog else { return }
        var word: UInt64 = 0
        let result = ckvm_clear_dirty_log(
            vm.descriptor, slot.assignedKey.kernelWord, 1 << 40, 64, &word)
        let isLogging: Bool
        switch failure(of: result) {
        case .invalidArgument: isLogging = true
        case .noEntry: isLogging = false
        // ENXIO: a ring that is missing in the options.
        case let errno: throw explanation(errno ?? .invalidArgument, "KVM_CLEAR_DIRTY_LOG")
        }
        guard isLogging == slot.isLogging else {
            throw .installedSlotDiffers(slot.assignedKey, .logging)
        }
    }

    private var lastPage: UInt64 { capabilities.maxGuestPage * capabilities.pageSize.rawValue }

    /// Requests one page as slot `key`, with a userspace address that no slot has.
    private func claim(_ page: UInt64, as key: SlotKey) -> Errno? {
        claimWords(page, key, size: capabilities.pageSize.rawValue)
            .apply(to: vm.descriptor, byRegion2: false)
    }

    private func release(_ page: UInt64, of key: SlotKey) throws(KVMError) {
        let words = claimWords(page, key, size: 0)
        if let errno = words.apply(to: vm.descriptor, byRegion2: false) { throw explanation(errno) }
    }

    private func claimWords(_ page: UInt64, _ key: SlotKey, size: UInt64) -> RegionWords {
        RegionWords(
            slot: key.kernelWord, address: page, size: size,
            userspaceAddress: capabilities.userspaceEnd.rawValue - capabilities.pageSize.rawValue)
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
