// What the preload library's C part and its Swift part are to each other.
//
// The C part stands in front of ioctl and its like: it knows descriptors, threads, the gate and
// the record. The Swift part knows slots: it answers by the kernel's rules, and commits.
#ifndef CPRELOAD_H
#define CPRELOAD_H

#include <CRunRecord.h>
#include <stddef.h>
#include <stdint.h>

// The words of a slot call.
struct cpreload_region {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t guest_memfd_offset;
    int32_t guest_memfd;
    // 1 or 2.
    uint32_t form;
};

// Makes a slot call on the kernel, and records it. 0 or minus errno.
int cpreload_set_region(uint32_t vm, const struct cpreload_region *region);
// Any other call on the kernel, past our own functions. Its value or minus errno.
int cpreload_call(int descriptor, unsigned long request, void *argument);
// KVM_CHECK_EXTENSION.
int cpreload_check_extension(int descriptor, long capability);
// While not 0, the calling thread's calls go straight through.
void cpreload_pass_through(int passes);
// Copies from or to memory of the VMM, which may not be there. 0 or minus errno.
int cpreload_read(void *to, const void *from, size_t size);
int cpreload_write(void *to, const void *from, size_t size);
// A dirty log's words: of KVM_GET_DIRTY_LOG, or where `clears` is set of KVM_CLEAR_DIRTY_LOG.
struct cpreload_dirty_log {
    uint32_t slot;
    uint32_t clears;
    uint64_t first_page;
    uint64_t page_count;
    void *bitmap;
};
int cpreload_dirty_log_words(
    struct cpreload_dirty_log *words, unsigned long request, const void *argument);
// KVM_GET_DIRTY_LOG into memory of our own.
int cpreload_get_dirty_log(uint32_t vm, uint32_t slot, void *bitmap);
// Sets bits in memory of the VMM's.
int cpreload_merge(void *to, const void *bits, size_t size);
// A descriptor of our own for a file of the VMM's, out of the way of its numbers.
int cpreload_duplicate(int descriptor);
void cpreload_close(int descriptor);
void cpreload_say(const char *text);
// Says why on standard error, and ends the process.
void cpreload_stop(const char *message) __attribute__((noreturn));

// The Swift part. Weak, so that the C part can be linked without it, and then only records. All
// are called with one lock held and signals blocked.
#define CPRELOAD_SWIFT __attribute__((weak))
// What `memslots_preload_ask` answers beside minus errno.
#define CPRELOAD_UNCHANGED 0
#define CPRELOAD_CHANGED 1
#define CPRELOAD_NOW (-100000)

int32_t memslots_preload_opened(uint32_t vm, int32_t descriptor) CPRELOAD_SWIFT;
void memslots_preload_closed(uint32_t vm) CPRELOAD_SWIFT;
int32_t memslots_preload_ask(uint32_t vm, const struct cpreload_region *region) CPRELOAD_SWIFT;
int32_t memslots_preload_now(uint32_t vm, const struct cpreload_region *region) CPRELOAD_SWIFT;
void memslots_preload_commit(uint32_t vm) CPRELOAD_SWIFT;
int32_t memslots_preload_dirty_log(
    uint32_t vm, int32_t descriptor, uint64_t request, void *argument) CPRELOAD_SWIFT;
void memslots_preload_enabled(
    uint32_t vm, uint32_t capability, uint64_t argument) CPRELOAD_SWIFT;
void memslots_preload_file(uint32_t vm, int32_t descriptor, uint64_t size) CPRELOAD_SWIFT;
void memslots_preload_file_closed(uint32_t vm, int32_t descriptor) CPRELOAD_SWIFT;
// KVM may keep these guest pages for itself: a slot there is asked of the kernel at once.
void memslots_preload_reserved(uint32_t vm, uint64_t start, uint64_t size) CPRELOAD_SWIFT;
// Whether all memory that the kernel maps is mapped in what was asked, too.
int32_t memslots_preload_covers(uint32_t vm) CPRELOAD_SWIFT;
int32_t memslots_preload_backs(uint32_t vm, uint64_t address, uint64_t size) CPRELOAD_SWIFT;

#endif
