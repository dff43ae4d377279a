// See the header.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/mman.h>

int clinux_memfd(const char *name, int hugetlb) {
    unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (hugetlb ? MFD_HUGETLB : 0);
    int descriptor = memfd_create(name, flags);
    return descriptor < 0 ? -errno : descriptor;
}

int clinux_seal_size(int descriptor) {
    int status = fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    return status < 0 ? -errno : 0;
}

int clinux_seals(int descriptor) {
    int seals = fcntl(descriptor, F_GET_SEALS);
    return seals < 0 ? -errno : seals;
}

int clinux_seal_shrink(void) { return F_SEAL_SHRINK; }

void clinux_give_memory_back(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void clinux_limit_arenas(int count) {
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, count);
#else
    (void)count;
#endif
}
