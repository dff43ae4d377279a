/// What KVM allocates for slots, beside the memory that they map: an estimate by the sizes of the
/// kernel's own arrays.
public struct KernelSlotMemory: Hashable, Sendable {
    /// A Boolean value that indicates whether KVM translates guest addresses itself, without EPT or
    /// NPT. It then keeps reverse maps. Kernel: `kvm_memslots_have_rmaps`.
    public var shadowsPages: Bool
    /// A Boolean value that indicates whether a slot that logs has bitmaps; it has none with a dirty
    /// ring. Kernel: `kvm_use_dirty_bitmap`.
    public var hasBitmaps: Bool

    /// The bytes of a page.
    public var pageSize: ByteCount

    /// The kernel memory of a host.
    public init(shadowsPages: Bool, hasBitmaps: Bool = true, pageSize: ByteCount = .page) {
        (self.shadowsPages, self.hasBitmaps) = (shadowsPages, hasBitmaps)
        self.pageSize = pageSize
    }

    /// `struct kvm_memory_slot`, include/linux/kvm_host.h.
    private static let slotBytes: UInt64 = 512
    /// `struct vm_struct` and `struct vmap_area` of an array, mm/vmalloc.c.
    private static let arrayBytes: UInt64 = 128

    /// The bytes of one slot.
    public func bytes(of slot: Memslot) -> UInt64 {
        let pages = slot.size.pages(of: pageSize)
        guard pages > 0 else { return 0 }
        var bytes = Self.slotBytes
        func add(_ count: UInt64, _ size: UInt64) {
            // Each is allocated in whole pages: `vcalloc`.
            let end = count * size + pageSize.rawValue - 1
            bytes += end / pageSize.rawValue * pageSize.rawValue + Self.arrayBytes
        }
        #if arch(x86_64)
            // Guest pages of 4 KiB, 2 MiB and 1 GiB: `__kvm_mmu_slot_lpages`, arch/x86/kvm/mmu.h.
            let first = slot.guestPhysicalAddress.pages(of: pageSize)
            for level in 0..<3 as Range<UInt64> {
                let count = (first + pages - 1) >> (9 * level) - first >> (9 * level) + 1
                // `struct kvm_rmap_head`: `memslot_rmap_alloc`, arch/x86/kvm/x86.c.
                if shadowsPages { add(count, 8) }
                // `struct kvm_lpage_info`: `kvm_alloc_memslot_metadata`, arch/x86/kvm/x86.c.
                if level > 0 { add(count, 4) }
            }
            // `gfn_write_track`: `kvm_page_track_create_memslot`, arch/x86/kvm/mmu/page_track.c.
            if shadowsPages { add(pages, 2) }
        #endif
        // Two bitmaps of whole words: `kvm_alloc_dirty_bitmap`, virt/kvm/kvm_main.c.
        if slot.isLogging && hasBitmaps { add((pages + 63) / 64, 16) }
        return bytes
    }

    /// The bytes of several slots, and of private guest pages: nodes of 576 bytes for 64 pages each.
    /// Kernel: `struct xa_node` of `mem_attr_array`, virt/kvm/kvm_main.c.
    package func bytes(of slots: [Memslot], _ ranges: GuestRangeSet) -> Int {
        let sum = ranges.ranges.reduce(bytes(of: slots)) {
            $0.addingSaturated(($1.size.pages(of: pageSize) / 64 + 2) * 576)
        }
        return Int(clamping: sum)
    }

    /// The bytes of several slots.
    public func bytes(of slots: some Sequence<Memslot>) -> UInt64 {
        slots.reduce(0) { $0 + bytes(of: $1) }
    }
}
