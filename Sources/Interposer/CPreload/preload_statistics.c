// Whether KVM has a vCPU asleep, by the statistic `blocking` (KVM_GET_STATS_FD, since 5.15).
//
// It is read without any lock of KVM's. Kernel: Documentation/virt/kvm/api.rst, 4.133.
#include "preload.h"
#include <linux/fcntl.h>
#include <string.h>
#include <sys/resource.h>

#define GET_STATISTICS _IO(KVMIO, 0xce)

struct header {
    uint32_t flags, name_size, count, id_offset, descriptions_offset, data_offset;
};
struct description {
    uint32_t flags;
    int16_t exponent;
    uint16_t size;
    uint32_t offset, bucket_size;
    char name[48];
};

static int read_at(int file, void *to, size_t size, uint64_t offset) {
    return syscall(SYS_pread64, file, to, size, offset) == (long)size;
}

// Where `blocking` is in the file; 0 if it is not there.
static uint64_t find_blocking(int file) {
    struct header header;
    if (!read_at(file, &header, sizeof header, 0)) return 0;
    struct description description;
    size_t fixed = sizeof description - sizeof description.name;
    if (header.name_size > sizeof description.name || header.count > 4096) return 0;
    for (uint32_t i = 0; i < header.count; i++) {
        uint64_t at = header.descriptions_offset + i * (uint64_t)(fixed + header.name_size);
        if (!read_at(file, &description, fixed + header.name_size, at)) return 0;
        if (strncmp(description.name, "blocking", header.name_size) == 0)
            return header.data_offset + (uint64_t)description.offset;
    }
    return 0;
}

// Duplicates a descriptor to a number that the VMM hardly needs: never in the lower half of its own.
static int move_up(int file) {
    struct rlimit limit;
    unsigned long first = 1000;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 2 < first)
        first = limit.rlim_cur / 2;
    return preload_real_fcntl(file, F_DUPFD_CLOEXEC, (void *)first);
}

// In a job. Without the statistic, or a descriptor for it, the vCPU is waited for.
void preload_open_statistics(struct preload_vcpu *vcpu, int descriptor) {
    int file = preload_real_ioctl(descriptor, GET_STATISTICS, 0);
    if (file < 0) return;
    vcpu->blocking = find_blocking(file);
    if (vcpu->blocking) vcpu->statistics = move_up(file);
    cpreload_close(file);
    if (vcpu->statistics < 0) return;
    preload_set_entry(vcpu->statistics, PRELOAD_STATISTICS, (uint32_t)(vcpu - preload_vcpus));
    // Its closing would not be noticed.
    if (!preload_entry(vcpu->statistics)) {
        cpreload_close(vcpu->statistics);
        vcpu->statistics = -1;
    }
}

// Whether it sleeps until an event. Not to be asked before it was sent our signal.
int preload_is_blocking(const struct preload_vcpu *vcpu) {
    uint64_t value = 0;
    return vcpu->statistics >= 0
        && read_at(vcpu->statistics, &value, sizeof value, vcpu->blocking) && value == 1;
}
