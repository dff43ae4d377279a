// See the header.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux_files.h"

#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>

int clinux_exchange(int directory, const char *one, const char *other) {
    return renameat2(directory, one, directory, other, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

int clinux_has_capabilities(const char *path) {
    return getxattr(path, "security.capability", 0, 0) > 0;
}
