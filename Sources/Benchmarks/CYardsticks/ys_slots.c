// See the header.
#include "ys_slots.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

int ys_vm_make(void) {
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) return -errno;
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    int status = vm < 0 ? -errno : vm;
    close(kvm);
    return status;
}

void ys_close(int descriptor) {
    if (descriptor >= 0) close(descriptor);
}

int ys_set_regions(int vm, const struct ys_region *regions, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct kvm_userspace_memory_region region = {
            .slot = regions[i].slot,
            .flags = regions[i].flags,
            .guest_phys_addr = regions[i].guest,
            .memory_size = regions[i].size,
            .userspace_addr = regions[i].host};
        if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) return -errno;
    }
    return 0;
}
