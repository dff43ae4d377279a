// The ioctls of KVM as functions, one for each request.
//
// Swift imports the structures and plain constants of <linux/kvm.h>, but neither its request
// macros nor the variadic ioctl(2). Each function returns the call's value or minus errno, which it
// reads before anything else can change it. The functions decide nothing.
//
// Numbers in brackets are sections of the kernel's Documentation/virt/kvm/api.rst.
#ifndef CKVM_H
#define CKVM_H

#include "ckvm_definitions.h"
#include "ckvm_process.h"
#include "ckvm_run.h"
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

// The value of a call, or minus errno.
#define CKVM_RESULT(call)                                                                          \
    ({                                                                                             \
        int ckvm_result = (call);                                                                  \
        ckvm_result < 0 ? -errno : ckvm_result;                                                    \
    })

// Requests on /dev/kvm.

// [4.1]
static inline int ckvm_get_api_version(int kvm) {
    return CKVM_RESULT(ioctl(kvm, KVM_GET_API_VERSION, 0));
}

// [4.2]
static inline int ckvm_create_vm(int kvm, unsigned long type) {
    return CKVM_RESULT(ioctl(kvm, KVM_CREATE_VM, type));
}

// [4.4] On /dev/kvm or, with KVM_CAP_CHECK_EXTENSION_VM, on a VM.
static inline int ckvm_check_extension(int descriptor, long capability) {
    return CKVM_RESULT(ioctl(descriptor, KVM_CHECK_EXTENSION, capability));
}

// [4.5]
static inline int ckvm_get_vcpu_mmap_size(int kvm) {
    return CKVM_RESULT(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
}

// Requests on a VM.

// [4.35] `region` is of the type that Linux calls so, or of the next call's, which begins with it.
static inline int ckvm_set_user_memory_region(int vm, const void *region) {
    return CKVM_RESULT(ioctl(vm, KVM_SET_USER_MEMORY_REGION, region));
}

// [4.140]
static inline int ckvm_set_user_memory_region2(int vm, const struct ckvm_region2 *region) {
    return CKVM_RESULT(ioctl(vm, CKVM_SET_USER_MEMORY_REGION2, region));
}

// [4.141]
static inline int ckvm_set_memory_attributes(
    int vm, const struct ckvm_memory_attributes *range) {
    return CKVM_RESULT(ioctl(vm, CKVM_SET_MEMORY_ATTRIBUTES, range));
}

// [4.142]
static inline int ckvm_create_guest_memfd(int vm, uint64_t size, uint64_t flags) {
    struct ckvm_guest_memfd memfd = {.size = size, .flags = flags};
    return CKVM_RESULT(ioctl(vm, CKVM_CREATE_GUEST_MEMFD, &memfd));
}

// [4.8]
static inline int ckvm_get_dirty_log(int vm, uint32_t slot, void *bitmap) {
    struct kvm_dirty_log log = {.slot = slot};
    log.dirty_bitmap = bitmap;
    return CKVM_RESULT(ioctl(vm, KVM_GET_DIRTY_LOG, &log));
}

// [4.117]
static inline int ckvm_clear_dirty_log(
    int vm, uint32_t slot, uint64_t first_page, uint32_t pages, void *bitmap) {
    struct kvm_clear_dirty_log log = {
        .slot = slot, .num_pages = pages, .first_page = first_page};
    log.dirty_bitmap = bitmap;
    return CKVM_RESULT(ioctl(vm, KVM_CLEAR_DIRTY_LOG, &log));
}

// [8.29]
static inline int ckvm_reset_dirty_rings(int vm) {
    return CKVM_RESULT(ioctl(vm, KVM_RESET_DIRTY_RINGS, 0));
}

// [4.37]
static inline int ckvm_enable_cap(int vm, uint32_t capability, uint64_t argument) {
    struct kvm_enable_cap enable = {.cap = capability, .args = {argument}};
    return CKVM_RESULT(ioctl(vm, KVM_ENABLE_CAP, &enable));
}

// [4.7]
static inline int ckvm_create_vcpu(int vm, unsigned long id) {
    return CKVM_RESULT(ioctl(vm, KVM_CREATE_VCPU, id));
}

// [4.24]
static inline int ckvm_create_irqchip(int vm) {
    return CKVM_RESULT(ioctl(vm, KVM_CREATE_IRQCHIP, 0));
}

// Requests on a vCPU.

// 0 if the descriptor is of a vCPU of this process. Only a vCPU can be mapped and refuses another
// subsystem's request with EINVAL, which it does before it waits for the thread that runs it.
static inline int ckvm_check_vcpu(int vcpu) {
    void *page = mmap(0, 1, PROT_READ, MAP_SHARED, vcpu, 0);
    if (page == MAP_FAILED) return -errno;
    munmap(page, 1);
    int result = CKVM_RESULT(ioctl(vcpu, 0, 0));
    return result == -EINVAL ? 0 : result < 0 ? result : -ENOTTY;
}

// [4.10]
static inline int ckvm_run(int vcpu) {
    return CKVM_RESULT(ioctl(vcpu, KVM_RUN, 0));
}

// [4.143] Ends with `signal` to the calling thread, repeated, if it takes longer than that.
int ckvm_pre_fault_memory(int vcpu, struct ckvm_pre_fault *range, int signal, int milliseconds);

// [4.11]
static inline int ckvm_get_regs(int vcpu, struct kvm_regs *regs) {
    return CKVM_RESULT(ioctl(vcpu, KVM_GET_REGS, regs));
}

// [4.12]
static inline int ckvm_set_regs(int vcpu, const struct kvm_regs *regs) {
    return CKVM_RESULT(ioctl(vcpu, KVM_SET_REGS, regs));
}

#if defined(__x86_64__)
// [4.46] On /dev/kvm.
static inline int ckvm_get_supported_cpuid(int kvm, struct kvm_cpuid2 *cpuid) {
    return CKVM_RESULT(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
}

// [4.55] On a VM.
static inline int ckvm_set_tss_addr(int vm, unsigned long address) {
    return CKVM_RESULT(ioctl(vm, KVM_SET_TSS_ADDR, address));
}

// [4.59] On a VM.
static inline int ckvm_set_identity_map_addr(int vm, uint64_t address) {
    return CKVM_RESULT(ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &address));
}

// [4.13]
static inline int ckvm_get_sregs(int vcpu, struct kvm_sregs *sregs) {
    return CKVM_RESULT(ioctl(vcpu, KVM_GET_SREGS, sregs));
}

// [4.14]
static inline int ckvm_set_sregs(int vcpu, const struct kvm_sregs *sregs) {
    return CKVM_RESULT(ioctl(vcpu, KVM_SET_SREGS, sregs));
}

// [4.19] One register. Returns 1, or 0 if KVM refuses it.
static inline int ckvm_set_msr(int vcpu, uint32_t index, uint64_t value) {
    uint64_t msrs[] = {1, index, value}; // struct kvm_msrs with one entry
    return CKVM_RESULT(ioctl(vcpu, KVM_SET_MSRS, msrs));
}

// [4.96] The next KVM_RUN enters system management mode, as soon as the vCPU is not in it.
static inline int ckvm_smi(int vcpu) {
    return CKVM_RESULT(ioctl(vcpu, KVM_SMI, 0));
}

// [4.66]
static inline int ckvm_set_cpuid2(int vcpu, const struct kvm_cpuid2 *cpuid) {
    return CKVM_RESULT(ioctl(vcpu, KVM_SET_CPUID2, cpuid));
}
#elif defined(__aarch64__)
// [4.83, 4.82] Gives a vCPU the host's kind of processor. KVM_RUN fails with ENOEXEC before.
static inline int ckvm_init_vcpu(int vm, int vcpu) {
    struct kvm_vcpu_init kind;
    int result = CKVM_RESULT(ioctl(vm, KVM_ARM_PREFERRED_TARGET, &kind));
    return result < 0 ? result : CKVM_RESULT(ioctl(vcpu, KVM_ARM_VCPU_INIT, &kind));
}
#else
#error "name the calls that a vCPU needs on this machine"
#endif

#endif
