// Whether KVM has a vCPU asleep, by the statistic `blocking` (KVM_GET_STATS_FD, since 5.15).
//
// It is read without any lock of KVM's. Kernel: Documentation/virt/kvm/api.rst, 4.133.
#include "preload.h"
#include <ckvm_process.h>
#include <linux/fcntl.h>
#include <sys/resource.h>

#define GET_STATISTICS _IO(KVMIO, 0xce)

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
    vcpu->blocking = ckvm_find_statistic(file, "blocking");
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
        && syscall(SYS_pread64, vcpu->statistics, &value, sizeof value, vcpu->blocking) == 8
        && value == 1;
}
