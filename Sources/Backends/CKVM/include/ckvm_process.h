// System calls beside KVM's that Glibc's module lacks, or whose errno must be read at once.
//
// Each function returns the call's value or minus errno.
#ifndef CKVM_PROCESS_H
#define CKVM_PROCESS_H

#include <stddef.h>
#include <stdint.h>

// open(2) for reading and writing, close-on-exec.
int ckvm_open(const char *path);

// memfd_create(2), close-on-exec. `huge`: of pages of 2 MiB, without which ckvm_map fails with -ENOMEM.
int ckvm_memfd_create(const char *name, int huge);

// mmap(2): a shared mapping to read and write. Stores its address in `address`.
int ckvm_map(int descriptor, size_t size, int64_t offset, void **address);

// Anonymous memory at a multiple of 2 MiB, with MADV_HUGEPAGE. Up to 2 MiB beside it stay unused.
int ckvm_map_huge(size_t size, void **address);

// Whether the 8 bytes at `address` can be read. The kernel reads them, so the caller gets no SIGBUS.
int ckvm_is_readable(const void *address);

// Whether two descriptors are of one open file. If the kernel can't compare files, their numbers are
// compared.
int ckvm_is_same_file(int one, int other);

// The id of the calling thread.
int ckvm_thread(void);

// tgkill(2): a thread that has ended yields -ESRCH.
int ckvm_signal_thread(int process, int thread, int signal);

// Gives `signal` a handler that does nothing, unless it has a handler already. The handler is set
// without SA_RESTART, so that it interrupts system calls: a default action would end the process,
// and an ignored signal would not end KVM_RUN.
int ckvm_handle_signal(int signal);

// Unblocks `signal` in the calling thread.
int ckvm_unblock_signal(int signal);

int ckvm_first_realtime_signal(void);

// A number that KVM counts for a VM, such as "pages_2m"; -1 if the kernel has none of this name.
int64_t ckvm_statistic(int vm, const char *name);

// Where it is in a file of KVM_GET_STATS_FD; 0 if it is not there.
uint64_t ckvm_find_statistic(int file, const char *name);

// Which processors the calling thread may use: one bit each, from the lowest bit of the first word
// on. Returns the number of bytes that are set; the rest of `mask` is not written.
int ckvm_get_affinity(uint64_t *mask, size_t size);
int ckvm_set_affinity(const uint64_t *mask, size_t size);

static inline uint32_t ckvm_load32(const void *address) {
    return __atomic_load_n((const uint32_t *)address, __ATOMIC_SEQ_CST);
}

static inline void ckvm_store32(void *address, uint32_t value) {
    __atomic_store_n((uint32_t *)address, value, __ATOMIC_SEQ_CST);
}

#endif
