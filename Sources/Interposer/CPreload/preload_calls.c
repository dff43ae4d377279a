// The calls of --atomic that are not slot calls.
//
// A call that uses guest memory commits the deferred slot calls first. What the Swift part must know
// about dirty logs, capabilities and guest_memfds is passed to it from here.
#include "preload.h"
#include <linux/fcntl.h>
#include <string.h>

// Whether a call on a VM or a vCPU does not use guest memory. A VMM makes such calls while it changes
// slots, and its changes stay one transaction. Interrupts are among them: no vCPU accepts one before
// the transaction ends.
static int ignores_memory(uint32_t request) {
    switch (request) {
    case (uint32_t)KVM_CHECK_EXTENSION:
    case (uint32_t)KVM_IOEVENTFD:
    case (uint32_t)KVM_IRQFD:
    case (uint32_t)KVM_IRQ_LINE:
    case (uint32_t)KVM_IRQ_LINE_STATUS:
    case (uint32_t)KVM_SIGNAL_MSI:
    case (uint32_t)KVM_SET_GSI_ROUTING:
    case (uint32_t)KVM_REGISTER_COALESCED_MMIO:
    case (uint32_t)KVM_UNREGISTER_COALESCED_MMIO:
    case (uint32_t)KVM_GET_IRQCHIP:
    case (uint32_t)KVM_SET_IRQCHIP:
    case (uint32_t)KVM_GET_CLOCK:
    case (uint32_t)KVM_SET_CLOCK:
    case (uint32_t)KVM_GET_PIT2:
    case (uint32_t)KVM_SET_PIT2:
    case (uint32_t)KVM_GET_REGS:
    case (uint32_t)KVM_SET_REGS:
    case (uint32_t)KVM_GET_SREGS:
    case (uint32_t)KVM_GET_FPU:
    case (uint32_t)KVM_SET_FPU:
    case (uint32_t)KVM_GET_XSAVE:
    case (uint32_t)KVM_SET_XSAVE:
    case (uint32_t)KVM_GET_XCRS:
    case (uint32_t)KVM_SET_XCRS:
    case (uint32_t)KVM_GET_LAPIC:
    case (uint32_t)KVM_SET_LAPIC:
    case (uint32_t)KVM_GET_MP_STATE:
    case (uint32_t)KVM_SET_MP_STATE:
    case (uint32_t)KVM_GET_VCPU_EVENTS:
    case (uint32_t)KVM_SET_VCPU_EVENTS:
    case (uint32_t)KVM_GET_DEBUGREGS:
    case (uint32_t)KVM_SET_DEBUGREGS:
    case (uint32_t)KVM_GET_MSRS:
    case (uint32_t)KVM_GET_TSC_KHZ:
    case (uint32_t)KVM_SET_TSC_KHZ:
    case (uint32_t)KVM_INTERRUPT:
    case (uint32_t)KVM_NMI:
    case (uint32_t)KVM_KVMCLOCK_CTRL: return 1;
    default: return 0;
    }
}

static int dirty_log_call(
    struct preload_vm *vm, int descriptor, unsigned long request, void *argument) {
    preload_lock();
    preload_settle_locked(vm, CRUN_BY_CALL);
    cpreload_pass_through(1);
    int32_t result = memslots_preload_dirty_log(vm->number, descriptor, request, argument);
    cpreload_pass_through(0);
    preload_unlock();
    if (result >= 0) return result;
    errno = -result;
    return -1;
}

static void after_enable_cap(struct preload_vm *vm, const void *argument) {
    struct kvm_enable_cap words;
    if (cpreload_read(&words, argument, sizeof words) < 0) return;
    preload_lock();
    memslots_preload_enabled(vm->number, words.cap, words.args[0]);
    preload_unlock();
}

// KVM may use these pages for slots of its own: with VMX for a guest in real mode.
static void after_reserving(struct preload_vm *vm, unsigned long request, const void *argument) {
    uint64_t start = (uint64_t)argument, size = 3 * 4096;
    if ((uint32_t)request == (uint32_t)KVM_SET_IDENTITY_MAP_ADDR) {
        size = 4096;
        if (cpreload_read(&start, argument, sizeof start) < 0 || start == 0) return;
    }
    preload_lock();
    memslots_preload_reserved(vm->number, start, size);
    preload_unlock();
}

static void add_guest_memfd(struct preload_vm *vm, int descriptor, const void *argument) {
    struct ckvm_guest_memfd words;
    if (cpreload_read(&words, argument, sizeof words) < 0) return;
    preload_add_descriptor(vm, PRELOAD_FILE, descriptor);
    preload_lock();
    memslots_preload_file(vm->number, descriptor, words.size);
    preload_unlock();
}

// Keeps our signal unblocked inside the guest, whatever mask the VMM sets.
static int set_signal_mask(int descriptor, unsigned long request, void *argument) {
    struct {
        uint32_t length;
        uint8_t set[8];
    } words;
    if (!argument || cpreload_read(&words, argument, sizeof words) < 0 || words.length != 8)
        return preload_real_ioctl(descriptor, request, argument);
    uint64_t mask;
    memcpy(&mask, words.set, sizeof mask);
    mask &= ~(1ull << (preload_signal() - 1));
    memcpy(words.set, &mask, sizeof mask);
    return preload_real_ioctl(descriptor, request, &words);
}

int preload_atomic_call(
    struct preload_vm *vm, int descriptor, unsigned long request, void *argument) {
    switch ((uint32_t)request) {
    case (uint32_t)KVM_GET_DIRTY_LOG:
    case (uint32_t)KVM_CLEAR_DIRTY_LOG:
        return dirty_log_call(vm, descriptor, request, argument);
    case (uint32_t)KVM_SET_SIGNAL_MASK: return set_signal_mask(descriptor, request, argument);
    case (uint32_t)CKVM_CREATE_GUEST_MEMFD: {
        int file = preload_real_ioctl(descriptor, request, argument);
        if (file >= 0) add_guest_memfd(vm, file, argument);
        return file;
    }
    default: break;
    }
    if (ignores_memory((uint32_t)request))
        return preload_real_ioctl(descriptor, request, argument);
    preload_begin_use(vm);
    int result = preload_real_ioctl(descriptor, request, argument);
    int error = errno;
    preload_end_use(vm);
    if (result >= 0 && (uint32_t)request == (uint32_t)KVM_ENABLE_CAP
        && preload_kind(preload_entry(descriptor)) == PRELOAD_VM)
        after_enable_cap(vm, argument);
    if (result >= 0
        && ((uint32_t)request == (uint32_t)KVM_SET_TSS_ADDR
            || (uint32_t)request == (uint32_t)KVM_SET_IDENTITY_MAP_ADDR))
        after_reserving(vm, request, argument);
    errno = error;
    return result;
}

int cpreload_decode_dirty_log(
    struct cpreload_dirty_log *words, unsigned long request, const void *argument) {
    memset(words, 0, sizeof *words);
    if ((uint32_t)request == (uint32_t)KVM_CLEAR_DIRTY_LOG) {
        struct kvm_clear_dirty_log log;
        if (cpreload_read(&log, argument, sizeof log) < 0) return -EFAULT;
        words->slot = log.slot;
        words->clears = 1;
        words->first_page = log.first_page;
        words->page_count = log.num_pages;
        words->bitmap = log.dirty_bitmap;
    } else {
        struct kvm_dirty_log log;
        if (cpreload_read(&log, argument, sizeof log) < 0) return -EFAULT;
        words->slot = log.slot;
        words->bitmap = log.dirty_bitmap;
    }
    return 0;
}

int cpreload_get_dirty_log(uint32_t number, uint32_t slot, void *bitmap) {
    struct preload_vm *vm = preload_vm_numbered(number);
    if (!vm) return -EBADF;
    struct kvm_dirty_log log = {.slot = slot};
    log.dirty_bitmap = bitmap;
    return cpreload_call(vm->descriptor, KVM_GET_DIRTY_LOG, &log);
}

int cpreload_set_bits(void *to, const void *bits, size_t size) {
    // In parts, because a slot may be large.
    uint64_t buffer[512];
    for (size_t done = 0; done < size;) {
        size_t part = size - done < sizeof buffer ? size - done : sizeof buffer;
        if (cpreload_read(buffer, (const char *)to + done, part) < 0) return -EFAULT;
        const uint64_t *more = (const uint64_t *)((const char *)bits + done);
        for (size_t i = 0; i < part / sizeof *more; i++) buffer[i] |= more[i];
        if (preload_write((char *)to + done, buffer, part) < 0) return -EFAULT;
        done += part;
    }
    return 0;
}

int cpreload_duplicate(int descriptor) {
    int copy = preload_real_fcntl(descriptor, F_DUPFD_CLOEXEC, 1000);
    return copy >= 0 ? copy : preload_real_fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
}

void cpreload_close(int descriptor) {
    preload_real_close(descriptor);
}
