// The interface between the C part and the Swift part of the preload library.
//
// The C part replaces ioctl and its like: it handles descriptors, threads, the gate and the record.
// The Swift part handles slots: it returns the kernel's results by the kernel's rules, and commits.
#ifndef CPRELOAD_H
#define CPRELOAD_H

#include <CRunRecord.h>
#include <stddef.h>
#include <stdint.h>

// The words of KVM_GET_DIRTY_LOG, or with `clears` of KVM_CLEAR_DIRTY_LOG.
struct cpreload_dirty_log {
    uint32_t slot;
    uint32_t clears;
    uint64_t first_page;
    uint64_t page_count;
    void *bitmap;
};

// Makes a slot call on the kernel, and records it. Returns 0 or minus errno.
int cpreload_set_region(uint32_t vm, const struct crun_region *region);
// Makes another ioctl on the kernel. Returns its value or minus errno.
int cpreload_call(int descriptor, unsigned long request, void *argument);
// KVM_CHECK_EXTENSION.
int cpreload_check_extension(int descriptor, long capability);
// KVM_GET_DIRTY_LOG into memory of ours.
int cpreload_get_dirty_log(uint32_t vm, uint32_t slot, void *bitmap);
// Reads the words of a dirty-log call of the VMM's. Returns 0 or minus errno.
int cpreload_decode_dirty_log(
    struct cpreload_dirty_log *words, unsigned long request, const void *argument);
// Copies from memory of the VMM, which may be unmapped. Returns 0 or minus errno.
int cpreload_read(void *to, const void *from, size_t size);
// Sets bits in memory of the VMM. Returns 0 or minus errno.
int cpreload_set_bits(void *to, const void *bits, size_t size);
// Duplicates a descriptor of the VMM to a number that the VMM is unlikely to use.
int cpreload_duplicate(int descriptor);
void cpreload_close(int descriptor);
// Prints a line on standard error.
void cpreload_print(const char *text);
// Prints the reason and ends the process.
void cpreload_stop(const char *message) __attribute__((noreturn));

// The Swift part. Weak, so that the C part can be linked without it, and then only records. All
// functions are called with the library's lock held, signals blocked, on the library's stack.
#define CPRELOAD_SWIFT __attribute__((weak))
// Results of `memslots_preload_request` beside minus errno.
#define CPRELOAD_UNCHANGED 0
#define CPRELOAD_CHANGED 1
// Only the kernel can decide the call.
#define CPRELOAD_UNDECIDED (-100000)

int32_t memslots_preload_opened(uint32_t vm, int32_t descriptor) CPRELOAD_SWIFT;
void memslots_preload_closed(uint32_t vm) CPRELOAD_SWIFT;
int32_t memslots_preload_request(uint32_t vm, const struct crun_region *region) CPRELOAD_SWIFT;
int32_t memslots_preload_apply_now(uint32_t vm, const struct crun_region *region) CPRELOAD_SWIFT;
void memslots_preload_commit(uint32_t vm) CPRELOAD_SWIFT;
// The deferred calls were made on the kernel.
void memslots_preload_follow(uint32_t vm) CPRELOAD_SWIFT;
int32_t memslots_preload_dirty_log(
    uint32_t vm, int32_t descriptor, uint64_t request, void *argument) CPRELOAD_SWIFT;
void memslots_preload_enabled(uint32_t vm, uint32_t capability, uint64_t argument) CPRELOAD_SWIFT;
void memslots_preload_file(uint32_t vm, int32_t descriptor, uint64_t size) CPRELOAD_SWIFT;
void memslots_preload_file_closed(uint32_t vm, int32_t descriptor) CPRELOAD_SWIFT;
// KVM may use these guest pages for its own slots: a slot there is applied at once.
void memslots_preload_reserved(uint32_t vm, uint64_t start, uint64_t size) CPRELOAD_SWIFT;
// Whether the requested array maps all guest memory that the kernel's slots map.
int32_t memslots_preload_covers(uint32_t vm) CPRELOAD_SWIFT;
// Whether a slot, installed or requested, is backed by this range of user memory.
int32_t memslots_preload_backs(uint32_t vm, uint64_t address, uint64_t size) CPRELOAD_SWIFT;

#endif
