// The user memory behind slots: calls that unmap or protect it, and the mappings of the process when
// KVM_RUN returns EFAULT. memslotctl, which knows the slots, compares.
#include "preload.h"
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

// A VMM that goes on after each EFAULT, or unmaps all the time, does not fill the record.
#define FAULTS 8
#define MAPPINGS 4096
#define CHANGES 4096
// Files with higher descriptors are not found.
#define FILES 65536

// All user memory that was ever passed to a slot call is between them.
static uint64_t lowest = ~0ull, highest;
static uint32_t faults, changes;

// With the lock held.
void preload_use_memory(const struct crun_region *region) {
    uint64_t end = region->userspace_addr + region->memory_size;
    if (region->memory_size == 0 || end < region->userspace_addr) return;
    if (region->userspace_addr < lowest)
        __atomic_store_n(&lowest, region->userspace_addr, __ATOMIC_RELAXED);
    if (end > highest) __atomic_store_n(&highest, end, __ATOMIC_RELAXED);
}

static void record(
    struct preload_vm *vm, uint32_t kind, uint64_t start, uint64_t size, uint32_t flags) {
    struct crun_record *record = preload_begin_record(vm);
    memset(&record->region, 0, sizeof record->region);
    record->region.userspace_addr = start;
    record->region.memory_size = size;
    record->region.flags = flags;
    preload_end_record(record, kind);
}

static int64_t record_change(const struct preload_call *call) {
    for (int i = 0; i < PRELOAD_VMS && changes < CHANGES; i++) {
        if (!preload_vms[i].is_used) continue;
        changes++;
        record(&preload_vms[i], CRUN_CHANGED, (uint64_t)call->argument, call->request, call->why);
    }
    return 0;
}

// `access` is what the call has left: CRUN_READABLE, CRUN_WRITABLE, or CRUN_UNMAPPED.
void preload_after_change(const void *address, size_t size, uint32_t access) {
    uint64_t start = (uint64_t)address;
    if (start >= __atomic_load_n(&highest, __ATOMIC_RELAXED)
        || start + size <= __atomic_load_n(&lowest, __ATOMIC_RELAXED) || preload_passes_through())
        return;
    struct preload_call call = {.why = access, .request = size, .argument = (void *)address};
    preload_locked(record_change, &call);
}

struct mapping {
    uint64_t start, end, offset, inode;
    uint32_t flags, major, minor;
    const char *path;
};

static uint64_t number(const char **text, int base) {
    uint64_t value = 0;
    for (;; ++*text) {
        int digit = **text >= '0' && **text <= '9' ? **text - '0'
            : **text >= 'a' && **text <= 'f'       ? **text - 'a' + 10
                                                   : 16;
        if (digit >= base) break;
        value = value * (uint64_t)base + (uint64_t)digit;
    }
    if (**text) ++*text;
    return value;
}

// START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH, as in proc_pid_maps(5).
static struct mapping parsed(const char *text) {
    struct mapping own = {0};
    own.start = number(&text, 16);
    own.end = number(&text, 16);
    if (strlen(text) < 5) return own;
    own.flags = (text[0] == 'r' ? CRUN_READABLE : 0) | (text[1] == 'w' ? CRUN_WRITABLE : 0);
    text += 5;
    own.offset = number(&text, 16);
    own.major = (uint32_t)number(&text, 16);
    own.minor = (uint32_t)number(&text, 16);
    own.inode = number(&text, 10);
    own.path = text + strspn(text, " ");
    return own;
}

static int is_file(const struct mapping *mapping, const struct stat *file) {
    return file->st_ino == mapping->inode && major(file->st_dev) == mapping->major
        && minor(file->st_dev) == mapping->minor;
}

// Where the file of a mapping ends in memory; its end if the file isn't found. Marks a device's.
static uint64_t file_end(struct mapping *mapping) {
    struct stat file;
    if (mapping->inode == 0) return mapping->end;
    int found = stat(mapping->path, &file) == 0 && is_file(mapping, &file);
    for (int i = 0; !found && i < FILES; i++) found = fstat(i, &file) == 0 && is_file(mapping, &file);
    if (strncmp(mapping->path, "anon_inode:", 11) == 0 || (found && S_ISCHR(file.st_mode)))
        mapping->flags |= CRUN_DEVICE;
    if (!found || !S_ISREG(file.st_mode)) return mapping->end;
    uint64_t size = ((uint64_t)file.st_size + 4095) & ~4095ull;
    uint64_t rest = size > mapping->offset ? size - mapping->offset : 0;
    return rest < mapping->end - mapping->start ? mapping->start + rest : mapping->end;
}

static void record_mapping(struct preload_vm *vm, const char *line) {
    struct mapping own = parsed(line);
    if (own.end <= lowest || own.start >= highest) return;
    uint64_t end = file_end(&own);
    if (end > own.start) record(vm, CRUN_MAPPING, own.start, end - own.start, own.flags);
    if (end < own.end)
        record(vm, CRUN_MAPPING, end, own.end - end, own.flags | CRUN_BEYOND);
}

static void record_mappings(struct preload_vm *vm) {
    char text[8192];
    size_t length = 0, count = 0;
    ssize_t more;
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    while ((more = read(file, text + length, sizeof text - 1 - length)) > 0) {
        length += (size_t)more;
        char *line = text, *end;
        while ((end = memchr(line, '\n', length - (size_t)(line - text))) && count++ < MAPPINGS) {
            *end = 0;
            record_mapping(vm, line);
            line = end + 1;
        }
        length -= (size_t)(line - text);
        memmove(text, line, length);
        // No path is that long.
        if (count > MAPPINGS || length == sizeof text - 1) break;
    }
    cpreload_close(file);
}

// What KVM_EXIT_MEMORY_FAULT (Linux 6.8) leaves in struct kvm_run.
static uint64_t faulting_address(int vcpu) {
    uint64_t address = ~0ull;
    struct kvm_run *run = mmap(0, 4096, PROT_READ, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED) return address;
    if (run->exit_reason == 39) memcpy(&address, (const char *)&run->hw + 8, sizeof address);
    munmap(run, 4096);
    return address;
}

// The mappings come first: the fault's record ends them.
int64_t preload_record_fault(const struct preload_call *call) {
    if (faults++ >= FAULTS) return 0;
    record_mappings(call->vm);
    record(call->vm, CRUN_FAULT, faulting_address(call->descriptor), 0, 0);
    return 0;
}
