// See the header.
#include "clinux_access.h"

#include <errno.h>
#include <stdint.h>
#include <sys/xattr.h>

// A POSIX access list in the form that the kernel takes (linux/posix_acl_xattr.h), so that no
// libacl is needed.
struct entry {
    uint16_t tag;
    uint16_t permissions;
    uint32_t id;
};

struct list {
    uint32_t version;
    struct entry entries[5];
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
