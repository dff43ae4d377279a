// See the header.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "creading_fence.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static int membarrier(int command) {
    return syscall(SYS_membarrier, command, 0, 0) < 0 ? -errno : 0;
}

int creading_fence_register(void) {
    return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

int creading_fence(void) { return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED); }
