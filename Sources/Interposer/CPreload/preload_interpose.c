// The functions that replace the C library's. For a descriptor that is not KVM's they read a table.
// Those that unmap memory matter while changes wait for their commit; else they are the system call.
#include "preload.h"
#include <linux/fcntl.h>
#include <string.h>
#include <sys/mman.h>

// A definition under the C library's name with every parameter that a caller may pass. That of a
// function with `...` would save all registers on the caller's stack.
#define PRELOAD_NAMED(name) __asm__(name)

// VFIO and iommufd share a type; vhost has its own.
static int is_device_memory(unsigned long request) {
    return _IOC_TYPE(request) == 0x3b || _IOC_TYPE(request) == 0xaf;
}

static int on_unknown(int descriptor, unsigned long request, void *argument) {
    if (PRELOAD_RARELY(preload_pending) && is_device_memory(request) && !preload_passes_through())
        preload_settle_all(CRUN_BY_DEVICE);
    if (PRELOAD_RARELY((uint32_t)request == (uint32_t)KVM_CREATE_VM) && preload_is_cut_off) {
        cpreload_print("no VM without --atomic: the record of memslotctl run can't be opened, as "
                       "after a change of the user, or after memslotctl has ended");
        errno = EPERM;
        return -1;
    }
    int result = preload_real_ioctl(descriptor, request, argument);
    if (PRELOAD_RARELY((uint32_t)request == (uint32_t)KVM_CREATE_VM) && result >= 0
        && preload_header && !preload_passes_through())
        preload_locked(preload_add_vm, &(struct preload_call){.descriptor = result});
    return result;
}

static int on_vm(const struct preload_call *call) {
    struct preload_vm *vm = call->vm;
    uint32_t request = (uint32_t)call->request;
    if (request == (uint32_t)KVM_SET_USER_MEMORY_REGION
        || request == (uint32_t)CKVM_SET_USER_MEMORY_REGION2)
        return vm->is_atomic ? preload_request(call) : preload_slot_call(call);
    int result = vm->is_atomic
        ? preload_atomic_call(call)
        : preload_real_ioctl(call->descriptor, call->request, call->argument);
    if (result < 0) return result;
    struct preload_call made = {.vm = vm, .descriptor = result};
    if (request == (uint32_t)KVM_CREATE_VCPU) preload_locked(preload_add_vcpu, &made);
    if (request == (uint32_t)KVM_CREATE_DEVICE && vm->is_atomic) {
        struct kvm_create_device *device = (struct kvm_create_device *)call->argument;
        made.descriptor = (int)device->fd;
        if (!(device->flags & KVM_CREATE_DEVICE_TEST)) preload_locked(preload_add_device, &made);
    }
    return result;
}

int preload_ioctl(int, unsigned long, void *) PRELOAD_NAMED("ioctl");
PRELOAD_EXPORT int preload_ioctl(int descriptor, unsigned long request, void *argument) {
    uint32_t entry = preload_entry(descriptor);
    if (__builtin_expect(entry == 0, 1)) return on_unknown(descriptor, request, argument);
    if (PRELOAD_RARELY(preload_passes_through()))
        return preload_real_ioctl(descriptor, request, argument);
    if (preload_kind(entry) == PRELOAD_VCPU && (uint32_t)request == (uint32_t)KVM_RUN) {
        struct preload_vcpu *vcpu = &preload_vcpus[preload_index(entry)];
        return vcpu->vm->is_atomic ? preload_run_gated(vcpu, descriptor, argument)
                                   : preload_run(vcpu, descriptor, argument);
    }
    struct preload_call call = {preload_vm_of(entry), descriptor, 0, request, argument};
    if (preload_kind(entry) == PRELOAD_VM) return on_vm(&call);
    return call.vm->is_atomic ? preload_atomic_call(&call)
                              : preload_real_ioctl(descriptor, request, argument);
}

PRELOAD_EXPORT int close(int descriptor) {
    if (PRELOAD_RARELY(preload_entry(descriptor))) preload_remove_descriptor(descriptor);
    return preload_real_close(descriptor);
}

PRELOAD_EXPORT int close_range(unsigned first, unsigned last, int flags) {
    // CLOSE_RANGE_CLOEXEC closes nothing yet.
    if (preload_header && !(flags & 4)) preload_remove_descriptors(first, last);
    return (int)syscall(SYS_close_range, first, last, flags);
}

static int copied(int descriptor, int copy) {
    if (PRELOAD_RARELY(copy >= 0 && preload_entry(descriptor))) preload_add_copy(descriptor, copy);
    return copy;
}

PRELOAD_EXPORT int dup(int descriptor) {
    return copied(descriptor, (int)syscall(SYS_dup, descriptor));
}

PRELOAD_EXPORT int dup2(int descriptor, int copy) {
    if (PRELOAD_RARELY(descriptor != copy && preload_entry(copy))) preload_remove_descriptor(copy);
#ifdef SYS_dup2
    return copied(descriptor, (int)syscall(SYS_dup2, descriptor, copy));
#else
    if (descriptor == copy) return preload_real_fcntl(descriptor, F_GETFD, 0) < 0 ? -1 : copy;
    return copied(descriptor, (int)syscall(SYS_dup3, descriptor, copy, 0));
#endif
}

PRELOAD_EXPORT int dup3(int descriptor, int copy, int flags) {
    if (PRELOAD_RARELY(descriptor != copy && preload_entry(copy))) preload_remove_descriptor(copy);
    return copied(descriptor, (int)syscall(SYS_dup3, descriptor, copy, flags));
}

int preload_fcntl(int, int, void *) PRELOAD_NAMED("fcntl");
PRELOAD_EXPORT int preload_fcntl(int descriptor, int command, void *argument) {
    int result = preload_real_fcntl(descriptor, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) return copied(descriptor, result);
    return result;
}

int preload_fcntl64(int, int, void *) PRELOAD_NAMED("fcntl64");
PRELOAD_EXPORT int preload_fcntl64(int descriptor, int command, void *argument) {
    return preload_fcntl(descriptor, command, argument);
}

// Threads often block every signal; ours must stay unblocked, and the two of the C library's own,
// which its function leaves out too.
static const uint64_t *without_ours(int how, const sigset_t *set, uint64_t *copy) {
    if (!set) return 0;
    memcpy(copy, set, sizeof *copy);
    *copy &= ~(3ull << 31);
    if (preload_is_atomic && how != SIG_UNBLOCK) *copy &= ~(1ull << (preload_signal() - 1));
    return copy;
}

PRELOAD_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
    uint64_t copy;
    int before = errno;
    long result = syscall(SYS_rt_sigprocmask, how, without_ours(how, set, &copy), old, sizeof copy);
    int error = result < 0 ? errno : 0;
    errno = before;
    return error;
}

PRELOAD_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
    uint64_t copy;
    return (int)syscall(SYS_rt_sigprocmask, how, without_ours(how, set, &copy), old, sizeof copy);
}

static inline void before_unmapping(const void *address, size_t size) {
    if (PRELOAD_RARELY(preload_pending)) preload_before_unmapping(address, size);
}

PRELOAD_EXPORT void *mmap(
    void *address, size_t size, int protection, int flags, int file, off_t offset) {
    if ((flags & MAP_FIXED) && (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE)
        before_unmapping(address, size);
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

PRELOAD_EXPORT void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));

PRELOAD_EXPORT int munmap(void *address, size_t size) {
    before_unmapping(address, size);
    int result = (int)syscall(SYS_munmap, address, size);
    if (result == 0) preload_after_change(address, size, CRUN_UNMAPPED);
    return result;
}

PRELOAD_EXPORT int mprotect(void *address, size_t size, int protection) {
    int result = (int)syscall(SYS_mprotect, address, size, protection);
    uint32_t access = (protection & PROT_READ ? CRUN_READABLE : 0)
        | (protection & PROT_WRITE ? CRUN_WRITABLE : 0);
    if (result == 0 && access != (CRUN_READABLE | CRUN_WRITABLE))
        preload_after_change(address, size, access);
    return result;
}

void *preload_mremap(void *, size_t, size_t, int, void *) PRELOAD_NAMED("mremap");
PRELOAD_EXPORT void *preload_mremap(
    void *address, size_t size, size_t new_size, int flags, void *target) {
    before_unmapping(address, size);
    if (flags & MREMAP_FIXED) before_unmapping(target, new_size);
    void *result = (void *)syscall(SYS_mremap, address, size, new_size, flags, target);
    if (result != MAP_FAILED && result != address)
        preload_after_change(address, size, CRUN_UNMAPPED);
    return result;
}

PRELOAD_EXPORT int madvise(void *address, size_t size, int advice) {
    // 24 is MADV_DONTNEED_LOCKED.
    if (advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE
        || advice == MADV_HWPOISON || advice == 24)
        before_unmapping(address, size);
    return (int)syscall(SYS_madvise, address, size, advice);
}
