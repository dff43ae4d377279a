// System calls of Linux that Swift's Glibc module does not export.
//
// Each function returns what the call returns, or -errno: errno is read before anything else can
// change it.
#ifndef CLINUX_H
#define CLINUX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

// memfd_create(2), close-on-exec and sealable.
static inline int clinux_memfd(const char *name, int hugetlb) {
    unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (hugetlb ? MFD_HUGETLB : 0);
    int descriptor = memfd_create(name, flags);
    return descriptor < 0 ? -errno : descriptor;
}

// fcntl(2), F_ADD_SEALS: the file can't shrink, nor take more or fewer seals.
static inline int clinux_seal_size(int descriptor) {
    int status = fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    return status < 0 ? -errno : 0;
}

// fcntl(2), F_GET_SEALS.
static inline int clinux_seals(int descriptor) {
    int seals = fcntl(descriptor, F_GET_SEALS);
    return seals < 0 ? -errno : seals;
}

// The seal that a passed memory object must bear: without it a client could kill us by SIGBUS.
static inline int clinux_seal_shrink(void) { return F_SEAL_SHRINK; }

#endif
