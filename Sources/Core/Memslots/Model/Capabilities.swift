/// What a backend allows: the limits against which an array is validated before any call.
public struct Capabilities: Hashable, Sendable {
    /// Slots an address space; ids are below it. Kernel: `KVM_CAP_NR_MEMSLOTS`.
    public var maxSlots: UInt32
    /// How many address spaces there are. Kernel: `KVM_CAP_MULTI_ADDRESS_SPACE`.
    public var addressSpaces: UInt32
    /// The largest guest page number (gfn). KVM refuses a slot past it only after the guest has
    /// seen the slot vanish, so it is checked here first. Kernel: `kvm_mmu_max_gfn`.
    public var maxGuestPage: UInt64
    /// The first address past user space. Kernel: `access_ok`.
    public var userspaceEnd: UserspaceAddress
    /// The flags that the backend accepts.
    public var flags: MemslotFlags
    /// The most pages a slot may have. Kernel: `KVM_MEM_MAX_NR_PAGES`.
    public var maxPagesPerSlot: UInt64
    /// The bytes of a page, a power of two: the unit of ``maxGuestPage``, of ``maxPagesPerSlot`` and
    /// of dirty bits. Kernel: `PAGE_SIZE` of the host.
    public var pageSize: ByteCount
    /// What the addresses and the size of a slot must be multiples of: ``pageSize``, or 1 MiB on
    /// s390x.
    public var slotGranule: ByteCount
    /// Rules that differ between kernels.
    public var facts: KernelFacts
    /// Guest ranges that KVM keeps for itself; no slot may meet them.
    public var reservedRanges: [Range<GuestPhysicalAddress>]
    /// Whether a `.guestMemfd` slot may leave its file out and get one of its own.
    public var providesGuestMemfd: Bool
    /// Whether one guest_memfd can be memory of the guest and, mapped, of the host.
    /// Kernel: `KVM_CAP_GUEST_MEMFD_FLAGS`, since 6.18.
    public var sharesGuestMemfd: Bool
    /// Whether a slot that starts to log starts with every page dirty.
    /// Kernel: `KVM_DIRTY_LOG_INITIALLY_SET`.
    public var dirtyLogStartsFull: Bool
    /// Whether all vCPUs lose a deleted slot at one instant in their own page tables, so that a
    /// deletion alone needs no hold. On x86-64 KVM retries a page fault on a slot that is being
    /// deleted, since 5.13; on arm64 it does not. Kernel: `kvm_faultin_pfn`.
    public var deletesAtOneInstant: Bool
    /// Whether guest ranges can be private: only of a ``MemoryAttributeBackend``, with one address
    /// space. Kernel: `KVM_CAP_MEMORY_ATTRIBUTES`, since 6.8.
    public var memoryAttributes = false
    /// What the kernel allocates for slots; `nil` if it allocates nothing, or it is unknown.
    public var kernelMemory: KernelSlotMemory?

    /// Capabilities of x86-64 KVM as the simulator gives them by default.
    public init(
        maxSlots: UInt32 = 32_764, addressSpaces: UInt32 = 1, maxGuestPage: UInt64 = (1 << 40) - 1,
        userspaceEnd: UserspaceAddress = UserspaceAddress(0x7fff_ffff_f000),
        flags: MemslotFlags = [.logDirtyPages, .readOnly], maxPagesPerSlot: UInt64 = (1 << 31) - 1,
        pageSize: ByteCount = .page, slotGranule: ByteCount? = nil,
        facts: KernelFacts = KernelFacts(), reservedRanges: [Range<GuestPhysicalAddress>] = [],
        providesGuestMemfd: Bool = false, sharesGuestMemfd: Bool = false,
        dirtyLogStartsFull: Bool = false,
        deletesAtOneInstant: Bool = Capabilities.hostDeletesAtOneInstant,
        kernelMemory: KernelSlotMemory? = nil
    ) {
        (self.maxSlots, self.addressSpaces) = (maxSlots, addressSpaces)
        (self.maxGuestPage, self.userspaceEnd) = (maxGuestPage, userspaceEnd)
        (self.flags, self.maxPagesPerSlot, self.pageSize) = (flags, maxPagesPerSlot, pageSize)
        self.slotGranule = slotGranule ?? pageSize
        (self.facts, self.reservedRanges) = (facts, reservedRanges)
        self.providesGuestMemfd = providesGuestMemfd
        (self.sharesGuestMemfd, self.dirtyLogStartsFull) = (sharesGuestMemfd, dirtyLogStartsFull)
        (self.deletesAtOneInstant, self.kernelMemory) = (deletesAtOneInstant, kernelMemory)
    }

    /// Whether this host's KVM deletes as ``deletesAtOneInstant`` describes, if it is recent enough:
    /// whether it is x86-64.
    public static var hostDeletesAtOneInstant: Bool {
        #if arch(x86_64)
            true
        #else
            false
        #endif
    }

    /// The number of address bits of ``maxGuestPage``: 52 for page 2^40 − 1 of 4096 bytes.
    public var guestPhysicalBits: Int {
        UInt64.bitWidth - maxGuestPage.leadingZeroBitCount + pageSize.rawValue.trailingZeroBitCount
    }

    /// Returns the number of pages of `slot`.
    public func pageCount(of slot: Memslot) -> UInt64 { slot.size.pages(of: pageSize) }
}
