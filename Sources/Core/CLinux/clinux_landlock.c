// See the header.
#include "clinux_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// The rights of linux/landlock.h that are newer than some headers.
#define REFER (1ULL << 13)
#define TRUNCATE (1ULL << 14)
#define IOCTL_DEV (1ULL << 15)

// struct landlock_ruleset_attr with the member that came with version 4.
struct rules {
    uint64_t files, ports;
};

// All rights on files that this version of Landlock knows.
static uint64_t known_rights(int version) {
    uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    if (version >= 2) rights |= REFER;
    if (version >= 3) rights |= TRUNCATE;
    if (version >= 5) rights |= IOCTL_DEV;
    return rights;
}

static int version(void) {
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

int clinux_no_new_privileges(void) {
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int clinux_landlock_begin(void) {
    int known = version();
    if (known < 0) return -errno;
    // Both kinds of port, bound and connected.
    struct rules rules = {.files = known_rights(known), .ports = known >= 4 ? 3 : 0};
    size_t size = known >= 4 ? sizeof(rules) : sizeof(rules.files);
    int descriptor = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    return descriptor < 0 ? -errno : descriptor;
}

static uint64_t rights_of(int use) {
    const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE, write = LANDLOCK_ACCESS_FS_WRITE_FILE;
    const uint64_t replace = LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
    switch (use) {
    case CLINUX_USE_FILES:
        return read | write | replace | LANDLOCK_ACCESS_FS_READ_DIR | TRUNCATE;
    case CLINUX_USE_OUTPUT: return write | replace;
    case CLINUX_USE_SOCKET: return LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE;
    case CLINUX_USE_FILE: return read | write;
    case CLINUX_USE_DEVICE: return read | write | IOCTL_DEV;
    default: return 0;
    }
}

int clinux_landlock_allow(int rules, const char *path, int use) {
    struct landlock_path_beneath_attr rule = {
        .allowed_access = rights_of(use) & known_rights(version()),
        .parent_fd = open(path, O_PATH | O_CLOEXEC)};
    if (rule.parent_fd < 0) return -errno;
    long status = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int result = status < 0 ? -errno : 0;
    close(rule.parent_fd);
    return result;
}

int clinux_landlock_enforce(int rules) {
    int result = syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
    close(rules);
    return result;
}

// Of the runtime that the compiler links into a build that measures coverage; NULL in others.
extern int __llvm_profile_write_file(void) __attribute__((weak));

char *clinux_coverage_directory(void) {
    const char *file = getenv("LLVM_PROFILE_FILE");
    const char *slash = file ? strrchr(file, '/') : NULL;
    if (&__llvm_profile_write_file == NULL || slash == NULL) return NULL;
    return strndup(file, (size_t)(slash - file));
}
