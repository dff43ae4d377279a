// The calls of --atomic that are not slot calls.
//
// A call that uses guest memory commits the deferred slot calls first. What the Swift part must know
// about dirty logs, capabilities and guest_memfds is passed to it from here.
#include "preload.h"
#include <linux/fcntl.h>
#include <string.h>

// Calls on a VM or a vCPU that do not use guest memory. A VMM makes such calls while it changes slots,
// and its changes stay one transaction. Interrupts are among them, and first, because they are
// frequent: no vCPU accepts one before the transaction ends.
static const uint32_t ignoring_memory[] = {
    KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS, KVM_SIGNAL_MSI, KVM_IRQFD, KVM_IOEVENTFD,
    KVM_SET_GSI_ROUTING, KVM_CHECK_EXTENSION, KVM_REGISTER_COALESCED_MMIO,
    KVM_UNREGISTER_COALESCED_MMIO, KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, KVM_GET_CLOCK, KVM_SET_CLOCK,
    KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_GET_FPU, KVM_SET_FPU, KVM_GET_MP_STATE,
    KVM_SET_MP_STATE, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, KVM_INTERRUPT, KVM_NMI,
    KVM_KVMCLOCK_CTRL,
#if defined(__x86_64__)
    KVM_GET_PIT2, KVM_SET_PIT2, KVM_GET_XSAVE, KVM_SET_XSAVE, KVM_GET_XCRS, KVM_SET_XCRS,
    KVM_GET_LAPIC, KVM_SET_LAPIC, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, KVM_GET_MSRS,
    KVM_GET_TSC_KHZ, KVM_SET_TSC_KHZ,
#else
    KVM_GET_ONE_REG, KVM_SET_ONE_REG, KVM_GET_REG_LIST,
#endif
};

static int ignores_memory(uint32_t request) {
    for (size_t i = 0; i < sizeof ignoring_memory / sizeof *ignoring_memory; i++)
        if (ignoring_memory[i] == request) return 1;
    return 0;
}

static int64_t dirty_log(const struct preload_call *call) {
    int64_t waits = preload_try_settle(call->vm, CRUN_BY_CALL);
    if (waits < 0) return waits;
    return memslots_preload_dirty_log(
        call->vm->number, call->descriptor, call->request, call->argument);
}

// A call succeeded that changes what the Swift part must know.
static int64_t follow(const struct preload_call *call) {
    uint32_t vm = call->vm->number;
    switch ((uint32_t)call->request) {
    case (uint32_t)KVM_ENABLE_CAP: {
        struct kvm_enable_cap words;
        if (cpreload_read(&words, call->argument, sizeof words) == 0)
            memslots_preload_enabled(vm, words.cap, words.args[0]);
        break;
    }
    // KVM may use these pages for slots of its own: with VMX for a guest in real mode.
    case (uint32_t)KVM_SET_TSS_ADDR:
        memslots_preload_reserved(vm, (uint64_t)call->argument, 3 * 4096);
        break;
    case (uint32_t)KVM_SET_IDENTITY_MAP_ADDR: {
        uint64_t start = 0;
        if (cpreload_read(&start, call->argument, sizeof start) == 0 && start != 0)
            memslots_preload_reserved(vm, start, 4096);
        break;
    }
    case (uint32_t)CKVM_CREATE_GUEST_MEMFD: {
        struct ckvm_guest_memfd words;
        if (cpreload_read(&words, call->argument, sizeof words) < 0) break;
        preload_adopt_descriptor(call->vm, PRELOAD_FILE, call->descriptor);
        memslots_preload_file(vm, call->descriptor, words.size);
        break;
    }
    default: break;
    }
    return 0;
}

// The words of KVM_SET_SIGNAL_MASK.
struct mask_call {
    struct preload_call call;
    uint32_t words[3];
};

static int64_t read_mask(const struct preload_call *call) {
    struct mask_call *own = (struct mask_call *)call;
    if (!call->argument || cpreload_read(own->words, call->argument, sizeof own->words) < 0
        || own->words[0] != 8)
        return PRELOAD_PASS;
    uint64_t mask;
    memcpy(&mask, &own->words[1], sizeof mask);
    mask &= ~(1ull << (preload_signal() - 1));
    memcpy(&own->words[1], &mask, sizeof mask);
    return 0;
}

// Keeps our signal unblocked inside the guest, whatever mask the VMM sets.
static int set_signal_mask(const struct preload_call *call) {
    struct mask_call own = {.call = *call};
    int passes = preload_locked(read_mask, &own.call) == PRELOAD_PASS;
    return preload_real_ioctl(call->descriptor, call->request, passes ? call->argument : own.words);
}

static int use_memory(const struct preload_call *call) {
    preload_begin_use(call->vm);
    int result = preload_real_ioctl(call->descriptor, call->request, call->argument);
    preload_end_use(call->vm);
    return result;
}

int preload_atomic_call(const struct preload_call *call) {
    switch ((uint32_t)call->request) {
    case (uint32_t)KVM_GET_DIRTY_LOG:
    case (uint32_t)KVM_CLEAR_DIRTY_LOG: {
        int64_t result = preload_locked(dirty_log, call);
        if (result == PRELOAD_PASS) break;
        return preload_result(result);
    }
    case (uint32_t)KVM_SET_SIGNAL_MASK: return set_signal_mask(call);
    case (uint32_t)CKVM_CREATE_GUEST_MEMFD: {
        struct preload_call file = *call;
        file.descriptor = preload_real_ioctl(call->descriptor, call->request, call->argument);
        if (file.descriptor >= 0) preload_locked(follow, &file);
        return file.descriptor;
    }
    case (uint32_t)KVM_ENABLE_CAP:
    case (uint32_t)KVM_SET_TSS_ADDR:
    case (uint32_t)KVM_SET_IDENTITY_MAP_ADDR: {
        int value = use_memory(call);
        if (value >= 0 && preload_kind(preload_entry(call->descriptor)) == PRELOAD_VM)
            preload_locked(follow, call);
        return value;
    }
    default:
        if (!ignores_memory((uint32_t)call->request)) return use_memory(call);
    }
    return preload_real_ioctl(call->descriptor, call->request, call->argument);
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
    int copy = preload_real_fcntl(descriptor, F_DUPFD_CLOEXEC, (void *)1000);
    return copy >= 0 ? copy : preload_real_fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
}

void cpreload_close(int descriptor) { preload_real_close(descriptor); }
