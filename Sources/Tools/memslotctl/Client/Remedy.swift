/// What a person can do about an error, by its kind on the wire.
enum Remedy {
    /// Half a sentence; `nil` where the message says it all.
    static func of(_ kind: String?) -> String? {
        kind.flatMap { ofArray[$0] ?? ofRequest[$0] }
    }

    private static let ofArray = [
        "misaligned-address": "make the guest physical address a multiple of 0x1000",
        "misaligned-size": "make the size a multiple of 0x1000",
        "zero-size": "leave the slot out to remove it",
        "address-overflow": "lower the address or the size",
        "address-too-large": "lower the address; memslotctl info tells the guest's address bits",
        "size-too-large": "split it into several slots",
        "bad-userspace-address": "give a page-aligned address within user space",
        "overlap": "move or shrink one of the two",
        "duplicate-slot": "give it another id, or leave \"slot\" out to have one picked",
        "slot-out-of-range": "give a lower id, or leave \"slot\" out to have one picked",
        "bad-address-space": "use an address space that the VM has",
        "too-many-slots": "merge neighbours with one backing",
        "unsupported-flag": "leave the flag out",
        "reserved-address": "use another address: KVM keeps this one for itself",
        "backing-missing": "give \"memory\", or \"userspaceAddress\" on a simulated VM",
        "backing-ambiguous": "give either \"memory\" or \"userspaceAddress\"",
        "backing-out-of-bounds": "lower the offset or the size, or make the memory larger",
        "backing-misaligned": "align the offset to the page size that memslotctl memory list tells",
        "unknown-memory": "make it with memslotctl memory create",
        "raw-address-refused": "make memory with memslotctl memory create and name it",
        "guest-memfd-missing": "make one with memslotctl memory create --backing guest-memfd",
        "guest-memfd-range-bound": "give each slot a range of its own",
    ]

    private static let ofRequest = [
        "unknown-vm": "memslotctl list tells the VMs there are; memslotctl create makes one",
        "unknown-slot": "memslotctl map --vm tells the slots there are",
        "vm-exists": "use it, choose another name, or memslotctl destroy it",
        "memory-exists": "choose another name",
        "generation-conflict":
            "read the array again with memslotctl get, and submit against that generation",
        "rolled-back": "submit again; if it fails again, look at the errno",
        "vm-failed": "memslotctl recover tries the undo again",
        "limit-exceeded": "memslotctl info tells the limits",
        "not-permitted": "ask the daemon's owner for more than the read-only role",
        "backend-unavailable": "memslotctl info tells why; --backend simulated always works",
        "quiesce-timeout": "submit again, with a longer --deadline-ms",
        "shutting-down": "start the daemon again",
    ]
}
