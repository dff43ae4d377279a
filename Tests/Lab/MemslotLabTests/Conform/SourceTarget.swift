import MemslotLab
import MemslotProtocol
import MemslotScenario
import Memslots

/// KVM's slot calls, written down from the kernel's C for one kind of host, apart from the simulator
/// and its rules: the second opinion of each profile.
///
/// Kernel: `kvm_set_memory_region`, `check_memory_region_flags`, `kvm_get_dirty_log_protect` and
/// `kvm_clear_dirty_log_protect` in virt/kvm/kvm_main.c, `kvm_gmem_bind`, and
/// `kvm_arch_prepare_memory_region` of each architecture.
final class SourceTarget: RawCallTarget {
    /// What the kernel of a host is built with, as numbers of its own.
    struct Host {
        var pageSize: UInt64 = 4096
        var userSlots: UInt32 = 32_767
        var spaces: UInt32 = 1
        var taskSizeMax: UInt64
        var hasReadOnly = true
        var hasGuestMemfd = false
        var boundErrno = "EINVAL"
        /// `kvm_arch_prepare_memory_region` of a created or moved slot.
        var prepare: (_ baseGFN: UInt64, _ pages: UInt64, _ hva: UInt64) -> String?
    }

    private struct Slot {
        var baseGFN: UInt64
        var pages: UInt64
        var flags: UInt32
        var hva: UInt64
        var file: (index: UInt32, pages: Range<UInt64>)?
        var dirty: Set<UInt64>?
    }

    private let host: Host
    private var slots: [UInt32: Slot] = [:]
    private var manualProtect: UInt64 = 0

    init(_ host: Host) { self.host = host }

    func difference(from slots: [Memslot], protection: UInt64) -> String? {
        guard protection == manualProtect, slots.count == self.slots.count else { return "other" }
        for slot in slots {
            guard let own = self.slots[slot.assignedKey.kernelWord],
                own.baseGFN * host.pageSize == slot.guestPhysicalAddress.rawValue,
                own.pages * host.pageSize == slot.size.rawValue,
                own.hva == slot.userspaceAddress.rawValue, own.flags == slot.flags.rawValue
            else { return "slot \(slot.assignedKey)" }
        }
        return nil
    }

    func apply(_ call: RawCall) -> RawReply {
        switch call {
        case .setRegion(let region): return reply(set(region))
        case .getDirtyLog(let word, let isWritable):
            guard word >> 16 < host.spaces, word & 0xffff < host.userSlots else {
                return reply("EINVAL")
            }
            guard let dirty = slots[word]?.dirty else { return reply("ENOENT") }
            if manualProtect == 0 { slots[word]?.dirty = [] }
            if !isWritable { return reply("EFAULT") }
            return RawReply(nil, dirtyPages: Self.runs(dirty))
        case .clearDirtyLog(let word, let first, let count, let words):
            return reply(clear(word, first, UInt64(count), words))
        case .setManualDirtyLogProtect(let argument):
            guard [0, 1, 3].contains(argument) else { return reply("EINVAL") }
            manualProtect = argument
            return RawReply(nil)
        case .guestWrite: return reply("ENOSYS")
        }
    }

    private func reply(_ errno: String?) -> RawReply { RawReply(errno.flatMap { Errno(name: $0) }) }

    private func set(_ mem: RawRegion) -> String? {
        let page = host.pageSize
        if mem.guestMemfd == nil, mem.flags & ~3 != 0 { return "EINVAL" }
        var valid: UInt32 = 1
        if host.hasGuestMemfd { valid |= 4 }
        if mem.flags & 4 != 0 { valid &= ~1 }
        if host.hasReadOnly, mem.flags & 4 == 0 { valid |= 2 }
        if mem.flags & ~valid != 0 { return "EINVAL" }
        if mem.memorySize % page != 0 || mem.guestPhysicalAddress % page != 0 { return "EINVAL" }
        if mem.userspaceAddress % page != 0 { return "EINVAL" }
        guard mem.memorySize <= host.taskSizeMax,
            mem.userspaceAddress <= host.taskSizeMax - mem.memorySize
        else { return "EINVAL" }
        let offset = mem.guestMemfdOffset
        if mem.flags & 4 != 0, offset % page != 0 || offset &+ mem.memorySize < offset {
            return "EINVAL"
        }
        if mem.slot >> 16 >= host.spaces || mem.slot & 0xffff >= host.userSlots { return "EINVAL" }
        if mem.guestPhysicalAddress &+ mem.memorySize < mem.guestPhysicalAddress { return "EINVAL" }
        let pages = mem.memorySize / page
        if pages > (1 << 31) - 1 { return "EINVAL" }
        let baseGFN = mem.guestPhysicalAddress / page
        let old = slots[mem.slot]
        if mem.memorySize == 0 {
            if old == nil { return "EINVAL" }
            slots[mem.slot] = nil
            return nil
        }
        var new = Slot(
            baseGFN: baseGFN, pages: pages, flags: mem.flags, hva: mem.userspaceAddress)
        if let old {
            if mem.flags & 4 != 0 { return "EINVAL" }
            if new.hva != old.hva || pages != old.pages || (new.flags ^ old.flags) & 6 != 0 {
                return "EINVAL"
            }
            if baseGFN == old.baseGFN, new.flags == old.flags { return nil }
        }
        let isPlaced = old?.baseGFN != baseGFN
        if isPlaced,
            slots.contains(where: { word, other in
                word >> 16 == mem.slot >> 16 && word != mem.slot
                    && baseGFN < other.baseGFN + other.pages && other.baseGFN < baseGFN + pages
            })
        {
            return "EEXIST"
        }
        if mem.flags & 4 != 0 {
            let bound = bind(mem.guestMemfd ?? .none, offset, pages)
            if let errno = bound.errno { return errno }
            new.file = bound.file
        }
        if isPlaced, let errno = host.prepare(baseGFN, pages, new.hva) { return errno }
        if new.flags & 1 != 0 {
            new.dirty = old?.dirty ?? (manualProtect == 3 ? Set(0..<pages) : [])
        }
        slots[mem.slot] = new
        return nil
    }

    private func bind(
        _ name: RawGuestMemfd, _ offset: UInt64, _ count: UInt64
    ) -> (file: (UInt32, Range<UInt64>)?, errno: String?) {
        if name == .none { return (nil, "EBADF") }
        guard case .file(let index) = name else { return (nil, "EINVAL") }
        let start = Int64(bitPattern: offset)
        let end = start &+ Int64(bitPattern: count * host.pageSize)
        if start < 0 || end > 8 << 20 { return (nil, "EINVAL") }
        let pages = offset / host.pageSize..<offset / host.pageSize + count
        let isBound = slots.values.contains {
            $0.file?.index == index && $0.file?.pages.overlaps(pages) == true
        }
        return isBound ? (nil, host.boundErrno) : ((index, pages), nil)
    }

    private func clear(
        _ word: UInt32, _ first: UInt64, _ count: UInt64, _ words: [UInt64]?
    ) -> String? {
        guard word >> 16 < host.spaces, word & 0xffff < host.userSlots, first & 63 == 0 else {
            return "EINVAL"
        }
        guard let slot = slots[word], slot.dirty != nil else { return "ENOENT" }
        if first > slot.pages || count > slot.pages - first
            || count < slot.pages - first && count & 63 != 0
        {
            return "EINVAL"
        }
        let needed = Int((count + 63) / 64)
        guard needed == 0 || words.map({ $0.count >= needed }) == true else { return "EFAULT" }
        for bit in 0..<count where (words ?? [])[Int(bit / 64)] >> (bit % 64) & 1 == 1 {
            slots[word]?.dirty?.remove(first + bit)
        }
        return nil
    }

    private static func runs(_ pages: Set<UInt64>) -> [Range<UInt64>] {
        pages.sorted().reduce(into: []) { runs, page in
            if let last = runs.last, last.upperBound == page {
                runs[runs.count - 1] = last.lowerBound..<page + 1
            } else {
                runs.append(page..<page + 1)
            }
        }
    }
}
