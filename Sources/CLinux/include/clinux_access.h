// Who may reach a path.
#ifndef CLINUX_ACCESS_H
#define CLINUX_ACCESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdint.h>
#include <sys/xattr.h>

// Gives a second group the permissions `bits` (4 reads, 2 writes, 1 searches) on `path`, beside an
// owner with `ownerBits` and the path's own group with `bits` too. Others get none. A POSIX access
// list in the form that the kernel takes (linux/posix_acl_xattr.h), so that no libacl is needed.
static inline int clinux_allow_group(const char *path, unsigned int group, unsigned int ownerBits,
                                     unsigned int bits) {
    struct entry {
        uint16_t tag;
        uint16_t permissions;
        uint32_t id;
    };
    struct {
        uint32_t version;
        struct entry entries[5];
    } list = {.version = 2,
              .entries = {{0x01, (uint16_t)ownerBits, UINT32_MAX},  // the owner
                          {0x04, (uint16_t)bits, UINT32_MAX},       // the path's group
                          {0x08, (uint16_t)bits, group},            // this group
                          {0x10, (uint16_t)bits, UINT32_MAX},       // the mask
                          {0x20, 0, UINT32_MAX}}};                  // others
    return setxattr(path, "system.posix_acl_access", &list, sizeof(list), 0) < 0 ? -errno : 0;
}

#endif
