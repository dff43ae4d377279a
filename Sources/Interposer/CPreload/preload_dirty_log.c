// What the Swift part needs to read, merge and follow dirty logs, and to keep files.
#include "preload.h"
#include <linux/fcntl.h>
#include <string.h>

int cpreload_dirty_log_words(
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

int cpreload_merge(void *to, const void *bits, size_t size) {
    // The kernel has just written there; a part at a time, since a slot may be large.
    uint64_t buffer[512];
    for (size_t done = 0; done < size;) {
        size_t part = size - done < sizeof buffer ? size - done : sizeof buffer;
        if (cpreload_read(buffer, (const char *)to + done, part) < 0) return -EFAULT;
        const uint64_t *more = (const uint64_t *)((const char *)bits + done);
        for (size_t i = 0; i < part / sizeof *more; i++) buffer[i] |= more[i];
        if (cpreload_write((char *)to + done, buffer, part) < 0) return -EFAULT;
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
