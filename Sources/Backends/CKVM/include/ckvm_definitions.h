// What the kernel headers of 6.1 lack. Source: include/uapi/linux/kvm.h of Linux 6.18.
#ifndef CKVM_DEFINITIONS_H
#define CKVM_DEFINITIONS_H

#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

// Since 6.12, arch/x86/include/uapi/asm/kvm.h. With the quirk, deleting or moving a slot drops the
// mappings of all slots.
#define CKVM_X86_QUIRK_SLOT_ZAP_ALL (1u << 7)

// Arguments of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.
#define CKVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE 1u
#define CKVM_DIRTY_LOG_INITIALLY_SET 2u

// The bytes of a page of the host, in which KVM counts slots and dirty bits.
static inline uint64_t ckvm_page_size(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

// The offset of a vCPU's dirty ring in the mapping of its descriptor, in pages; 0 where the
// architecture has no dirty rings. Source: arch/*/include/uapi/asm/kvm.h.
static inline int64_t ckvm_dirty_ring_page(void) {
#ifdef KVM_DIRTY_LOG_PAGE_OFFSET
    return KVM_DIRTY_LOG_PAGE_OFFSET;
#elif defined(__aarch64__)
    return 64; // Since 6.3.
#else
    return 0;
#endif
}

// `struct kvm_userspace_memory_region2`, since 6.8.
struct ckvm_region2 {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t guest_memfd_offset;
    uint32_t guest_memfd;
    uint32_t pad1;
    uint64_t pad2[14];
};

// `struct kvm_create_guest_memfd`, since 6.8.
struct ckvm_guest_memfd {
    uint64_t size;
    uint64_t flags;
    uint64_t reserved[6];
};

// `struct kvm_memory_attributes`, since 6.8.
struct ckvm_memory_attributes {
    uint64_t address;
    uint64_t size;
    uint64_t attributes;
    uint64_t flags;
};

#define CKVM_MEMORY_ATTRIBUTE_PRIVATE 8ull
#define CKVM_SET_MEMORY_ATTRIBUTES _IOW(KVMIO, 0xd2, struct ckvm_memory_attributes)

// KVM_CAP_GUEST_MEMFD, since 6.8.
#define CKVM_CAP_GUEST_MEMFD 234
#define CKVM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct ckvm_region2)
#define CKVM_CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct ckvm_guest_memfd)

// Flags of a guest_memfd, since 6.18: it can be mapped, and its pages begin as shared ones.
#define CKVM_GUEST_MEMFD_MMAP 1u
#define CKVM_GUEST_MEMFD_INIT_SHARED 2u

// `struct kvm_pre_fault_memory`, since 6.11. The kernel advances `gpa` over what it has mapped.
struct ckvm_pre_fault {
    uint64_t gpa;
    uint64_t size;
    uint64_t flags;
    uint64_t padding[5];
};

#define CKVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct ckvm_pre_fault)

_Static_assert(sizeof(struct ckvm_region2) == 160, "the kernel's size");
_Static_assert(sizeof(struct ckvm_memory_attributes) == 32, "the kernel's size");
_Static_assert(sizeof(struct ckvm_guest_memfd) == 64, "the kernel's size");
_Static_assert(sizeof(struct ckvm_pre_fault) == 64, "the kernel's size");

#endif
