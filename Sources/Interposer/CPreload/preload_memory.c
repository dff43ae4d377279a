// The functions that take memory away. They matter while changes wait to be committed, and are
// else the system call and nothing more.
#include "preload.h"
#include <stdarg.h>
#include <sys/mman.h>

static inline void before(const void *address, size_t size) {
    if (PRELOAD_RARELY(preload_pending)) preload_before_unmapping(address, size);
}

static void *map(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    if ((flags & MAP_FIXED) && (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE)
        before(address, size);
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

PRELOAD_EXPORT void *mmap(
    void *address, size_t size, int protection, int flags, int file, off_t offset) {
    return map(address, size, protection, flags, file, offset);
}

PRELOAD_EXPORT void *mmap64(
    void *address, size_t size, int protection, int flags, int file, off_t offset) {
    return map(address, size, protection, flags, file, offset);
}

PRELOAD_EXPORT int munmap(void *address, size_t size) {
    before(address, size);
    return (int)syscall(SYS_munmap, address, size);
}

PRELOAD_EXPORT void *mremap(void *address, size_t size, size_t new_size, int flags, ...) {
    va_list list;
    va_start(list, flags);
    void *target = va_arg(list, void *);
    va_end(list);
    before(address, size);
    if (flags & MREMAP_FIXED) before(target, new_size);
    return (void *)syscall(SYS_mremap, address, size, new_size, flags, target);
}

PRELOAD_EXPORT int madvise(void *address, size_t size, int advice) {
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_REMOVE:
    case MADV_HWPOISON:
    case 24: // MADV_DONTNEED_LOCKED
        before(address, size);
        break;
    default: break;
    }
    return (int)syscall(SYS_madvise, address, size, advice);
}
