/// What `KVM_CHECK_EXTENSION` can be asked for, as far as memory slots go.
///
/// The raw value is the kernel's number. Source: include/uapi/linux/kvm.h.
public enum KVMCapability: Int32, Hashable, Sendable, CaseIterable {
    /// `KVM_SET_USER_MEMORY_REGION` is there.
    case userMemory = 3
    /// How many slots an address space has.
    case memorySlots = 10
    /// Deleting a slot works.
    case destroyMemoryRegionWorks = 21
    /// Slots may touch.
    case joinMemoryRegionsWorks = 30
    /// How many vCPUs a VM may have.
    case maxVCPUs = 66
    /// `KVM_MEM_READONLY` is there.
    case readOnlyMemory = 81
    /// How many address spaces there are; 0 means one.
    case multiAddressSpace = 118
    /// `immediate_exit` of the shared page is looked at.
    case immediateExit = 136
    /// Reading a dirty log may leave it as it is: the modes that can be switched on, as bits.
    case manualDirtyLogProtect2 = 168
    /// The largest dirty ring, in bytes; total store order hosts only.
    case dirtyLogRing = 192
    /// Which quirks can be switched off, as bits.
    case disableQuirks2 = 213
    /// The largest dirty ring, in bytes; entries are taken with acquire and release.
    case dirtyLogRingAcqRel = 223
    /// `KVM_SET_USER_MEMORY_REGION2` is there.
    case userMemory2 = 231
    /// `KVM_SET_MEMORY_ATTRIBUTES` is there: the attributes, as bits.
    case memoryAttributes = 233
    /// `KVM_CREATE_GUEST_MEMFD` is there, and `KVM_MEM_GUEST_MEMFD` for this VM.
    case guestMemfd = 234
    /// Which types of VM there are, as bits.
    case vmTypes = 235
    /// Which flags `KVM_CREATE_GUEST_MEMFD` takes.
    case guestMemfdFlags = 244

    /// The kernel's name, such as `KVM_CAP_NR_MEMSLOTS`.
    public var kernelName: String { "KVM_CAP_" + facts.name }

    /// The first release of Linux that has it.
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
        case .disableQuirks2: ("DISABLE_QUIRKS2", "5.18")
        case .dirtyLogRingAcqRel: ("DIRTY_LOG_RING_ACQ_REL", "6.1")
        case .userMemory2: ("USER_MEMORY2", "6.8")
        case .memoryAttributes: ("MEMORY_ATTRIBUTES", "6.8")
        case .guestMemfd: ("GUEST_MEMFD", "6.8")
        case .vmTypes: ("VM_TYPES", "6.8")
        case .guestMemfdFlags: ("GUEST_MEMFD_FLAGS", "6.18")
        }
    }
}
