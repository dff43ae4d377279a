// See the header.
#include "clinux.h"

#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include "call.h"

int clinux_memfd(const char *name, int hugetlb) {
    unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (hugetlb ? MFD_HUGETLB : 0);
    return result(memfd_create(name, flags));
}

int clinux_seal_size(int descriptor) {
    return result(fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
}

int clinux_seals(int descriptor) { return result(fcntl(descriptor, F_GET_SEALS)); }

int clinux_seal_shrink(void) { return F_SEAL_SHRINK; }

int clinux_exchange(int directory, const char *one, const char *other) {
    return renameat2(directory, one, directory, other, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

int clinux_has_capabilities(const char *path) {
    return getxattr(path, "security.capability", 0, 0) > 0;
}

// A POSIX access list in the kernel's format (linux/posix_acl_xattr.h), so that no libacl is
// needed.
struct list {
    uint32_t version;
    struct {
        uint16_t tag, permissions;
        uint32_t id;
    } entries[5];
};

int clinux_allow_group(const char *path, unsigned int group, unsigned int ownerBits,
                       unsigned int bits) {
    struct list list = {.version = 2,
                        .entries = {{0x01, (uint16_t)ownerBits, UINT32_MAX},  // the owner
                                    {0x04, (uint16_t)bits, UINT32_MAX},       // the path's group
                                    {0x08, (uint16_t)bits, group},            // this group
                                    {0x10, (uint16_t)bits, UINT32_MAX},       // the mask
                                    {0x20, 0, UINT32_MAX}}};                  // others
    return setxattr(path, "system.posix_acl_access", &list, sizeof(list), 0) < 0 ? -errno : 0;
}

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

// Of Swift's standard library: what CommandLine.arguments returns from then on.
void _swift_stdlib_overrideUnsafeArgvArgc(char **words, int count);

// The C library passes a constructor what the kernel put on the stack. Swift reads
// /proc/self/cmdline instead, and without /proc a program would run as if it had no arguments.
__attribute__((constructor)) static void pass_arguments(int count, char **words) {
    if (words != NULL) _swift_stdlib_overrideUnsafeArgvArgc(words, count);
}

unsigned long clinux_raise_descriptor_limit(void) {
    struct rlimit limit = {0, 0};
    getrlimit(RLIMIT_NOFILE, &limit);
    struct rlimit raised = {limit.rlim_max, limit.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}
