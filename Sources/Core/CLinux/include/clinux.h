// Memory objects, files and malloc: calls of Linux that Swift's Glibc module does not export.
//
// Each function returns the call's value or -errno. The header declares plain types only: Swift
// reads its own module of the system's headers with other macros, and would otherwise define some
// types twice and differently.
#ifndef CLINUX_H
#define CLINUX_H

// memfd_create(2), close-on-exec and sealable.
int clinux_memfd(const char *name, int hugetlb);
// fcntl(2), F_ADD_SEALS: the file can neither shrink nor grow, and its seals are final.
int clinux_seal_size(int descriptor);
// fcntl(2), F_GET_SEALS.
int clinux_seals(int descriptor);
// F_SEAL_SHRINK, which a passed memory object must have: a client could kill the daemon by SIGBUS.
int clinux_seal_shrink(void);

// renameat2(2), RENAME_EXCHANGE: two files of one directory exchange their names atomically.
// Returns 0 or -errno; -EINVAL where the file system does not support it.
int clinux_exchange(int directory, const char *one, const char *other);

// Whether the file has capabilities of its own (capabilities(7)): 1 or 0.
int clinux_has_capabilities(const char *path);

// Gives a second group the permissions `bits` (4 reads, 2 writes, 1 searches) on `path`. The owner
// has `ownerBits`, the path's own group has `bits` too, and others have none. Returns 0 or -errno.
int clinux_allow_group(const char *path, unsigned int group, unsigned int ownerBits,
                       unsigned int bits);

// malloc_trim(3): returns free heap memory to the system. With much free memory this takes
// milliseconds, and other threads may wait for memory meanwhile.
void clinux_give_memory_back(void);
// mallopt(M_ARENA_MAX): the most heaps that malloc keeps for threads. Call it before the first
// thread starts.
void clinux_limit_arenas(int count);

#ifndef __has_feature  // Clang's alone; a sanitizer of GCC goes unnoticed.
#define __has_feature(feature) 0
#endif

// Whether this is a build with a sanitizer, whose stack frames are large.
static inline int clinux_is_sanitized(void) {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return 1;
#else
    return 0;
#endif
}

// setrlimit(2): raises the soft limit of descriptors to the hard one. Returns the soft limit then.
unsigned long clinux_raise_descriptor_limit(void);

#endif
