import CKVM

/// A capability of KVM that concerns memory slots.
///
/// The raw value is the kernel's number. Source: include/uapi/linux/kvm.h.
public enum KVMCapability: Int32, Hashable, Sendable, CaseIterable {
    /// `KVM_SET_USER_MEMORY_REGION` exists.
    case userMemory = 3
    /// The number of slots of an address space.
    case memorySlots = 10
    /// Deleting a slot works.
    case destroyMemoryRegionWorks = 21
    /// Slots may be adjacent.
    case joinMemoryRegionsWorks = 30
    /// The number of vCPUs that a VM may have.
    case maxVCPUs = 66
    /// `KVM_MEM_READONLY` exists.
    case readOnlyMemory = 81
    /// The number of address spaces; 0 means one.
    case multiAddressSpace = 118
    /// The kernel reads `immediate_exit` of the shared page.
    case immediateExit = 136
    /// The dirty-log modes in which reading does not clear, as bits.
    case manualDirtyLogProtect2 = 168
    /// The largest dirty ring in bytes, on hosts with total store order.
    case dirtyLogRing = 192
    /// The flags of `KVM_SET_GUEST_DEBUG`, as bits. It concerns no slots, but came with the kernel
    /// that retries a fault on a slot that is being deleted.
    case setGuestDebug2 = 195
    /// The quirks that can be switched off, as bits.
    case disableQuirks2 = 213
    /// The largest dirty ring in bytes. Entries are read with acquire and returned with release.
    case dirtyLogRingAcqRel = 223
    /// `KVM_SET_USER_MEMORY_REGION2` exists.
    case userMemory2 = 231
    /// The attributes of `KVM_SET_MEMORY_ATTRIBUTES`, as bits.
    case memoryAttributes = 233
    /// `KVM_CREATE_GUEST_MEMFD` and `KVM_MEM_GUEST_MEMFD` exist for this VM.
    case guestMemfd = 234
    /// The types of VM, as bits.
    case vmTypes = 235
    /// `KVM_PRE_FAULT_MEMORY` exists, and the host has two-dimensional paging.
    case preFaultMemory = 236
    /// The flags of `KVM_CREATE_GUEST_MEMFD`, as bits.
    case guestMemfdFlags = 244

    /// The kernel's name, such as `KVM_CAP_NR_MEMSLOTS`.
    public var kernelName: String { "KVM_CAP_" + facts.name }

    var since: String { facts.since }

    private var facts: (name: String, since: String) {
        switch self {
        case .userMemory: ("USER_MEMORY", "2.6.25")
        case .memorySlots: ("NR_MEMSLOTS", "2.6.26")
        case .destroyMemoryRegionWorks: ("DESTROY_MEMORY_REGION_WORKS", "2.6.29")
        case .joinMemoryRegionsWorks: ("JOIN_MEMORY_REGIONS_WORKS", "2.6.31")
        case .maxVCPUs: ("MAX_VCPUS", "3.2")
        case .readOnlyMemory: ("READONLY_MEM", "3.7")
        case .multiAddressSpace: ("MULTI_ADDRESS_SPACE", "4.2")
        case .immediateExit: ("IMMEDIATE_EXIT", "4.11")
        case .manualDirtyLogProtect2: ("MANUAL_DIRTY_LOG_PROTECT2", "5.2")
        case .dirtyLogRing: ("DIRTY_LOG_RING", "5.11")
        case .setGuestDebug2: ("SET_GUEST_DEBUG2", "5.13")
        case .disableQuirks2: ("DISABLE_QUIRKS2", "5.18")
        case .dirtyLogRingAcqRel: ("DIRTY_LOG_RING_ACQ_REL", "6.1")
        case .userMemory2: ("USER_MEMORY2", "6.8")
        case .memoryAttributes: ("MEMORY_ATTRIBUTES", "6.8")
        case .guestMemfd: ("GUEST_MEMFD", "6.8")
        case .vmTypes: ("VM_TYPES", "6.8")
        case .preFaultMemory: ("PRE_FAULT_MEMORY", "6.11")
        case .guestMemfdFlags: ("GUEST_MEMFD_FLAGS", "6.18")
        }
    }
}

/// The capabilities of a VM beyond the limits that an array is validated against.
public struct KVMCapabilities: Hashable, Sendable {
    /// Whether slots are set by `KVM_SET_USER_MEMORY_REGION2`.
    public var hasRegion2: Bool
    /// Whether a slot can be backed by a guest_memfd.
    public var hasGuestMemfd: Bool
    /// The flags with which a guest_memfd may be created.
    public var guestMemfdFlags: UInt64
    /// Whether ``GuardedVCPU/preFault(_:of:)`` can map memory ahead: not with shadow paging.
    public var canPreFault: Bool
    /// The largest dirty ring in bytes; 0 without dirty rings.
    public var maxDirtyRing: UInt64
    /// The capability that switches dirty rings on.
    var dirtyRing: KVMCapability?
    /// Whether the dirty log has a mode in which reading does not clear.
    public var hasManualDirtyLog: Bool
    /// Whether a slot can start to log with every page dirty.
    public var hasInitiallySetDirtyLog: Bool
    /// The attributes of `KVM_SET_MEMORY_ATTRIBUTES`, as bits.
    public var memoryAttributes: UInt64
    /// The types of VM, as bits.
    public var vmTypes: UInt64
    /// The number of vCPUs that a VM may have.
    public var maxVCPUs: Int
    /// Whether a deletion or a move can drop the mappings of its own slot alone.
    /// Kernel: `KVM_X86_QUIRK_SLOT_ZAP_ALL`, since 6.12.
    public var canKeepOtherMappings: Bool
    /// Whether deleting or moving a slot drops every vCPU's mappings of all slots; `nil` if
    /// unknown, as for an adopted VM.
    public var dropsAllMappings: Bool?

    /// Queries the capabilities of `vm`.
    public init(of vm: VirtualMachine) {
        func bits(_ capability: KVMCapability) -> UInt64 { UInt64(vm.value(of: capability)) }
        self.hasRegion2 = bits(.userMemory2) > 0
        self.hasGuestMemfd = hasRegion2 && bits(.guestMemfd) > 0
        self.guestMemfdFlags = hasGuestMemfd ? bits(.guestMemfdFlags) : 0
        self.canPreFault = bits(.preFaultMemory) > 0
        let ring: KVMCapability? =
            bits(.dirtyLogRingAcqRel) > 0
            ? .dirtyLogRingAcqRel : bits(.dirtyLogRing) > 0 ? .dirtyLogRing : nil
        self.dirtyRing = ckvm_dirty_ring_page() == 0 ? nil : ring
        self.maxDirtyRing = dirtyRing.map(bits) ?? 0
        let manual = UInt32(truncatingIfNeeded: bits(.manualDirtyLogProtect2))
        self.hasManualDirtyLog = manual & CKVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE != 0
        self.hasInitiallySetDirtyLog = manual & CKVM_DIRTY_LOG_INITIALLY_SET != 0
        self.memoryAttributes = bits(.memoryAttributes)
        self.vmTypes = bits(.vmTypes)
        self.maxVCPUs = Int(bits(.maxVCPUs))
        #if arch(x86_64)
            let quirks = bits(.disableQuirks2)
            self.canKeepOtherMappings = quirks & UInt64(CKVM_X86_QUIRK_SLOT_ZAP_ALL) != 0
            self.dropsAllMappings = true
        #else
            (self.canKeepOtherMappings, self.dropsAllMappings) = (false, false)
        #endif
    }

    /// Whether a ``SharedGuestMemfd`` can be made: `GUEST_MEMFD_FLAG_MMAP` and
    /// `GUEST_MEMFD_FLAG_INIT_SHARED`, since 6.18, which a VM with private memory does not have.
    public var sharesGuestMemfd: Bool {
        guestMemfdFlags & SharedGuestMemfd.flags == SharedGuestMemfd.flags
    }
}
