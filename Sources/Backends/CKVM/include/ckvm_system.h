// Requests on the descriptor of /dev/kvm. Documentation/virt/kvm/api.rst 4.1 to 4.5.
#ifndef CKVM_SYSTEM_H
#define CKVM_SYSTEM_H

#include "ckvm_definitions.h"
#include <errno.h>
#include <fcntl.h>

// The result of an ioctl, or minus errno.
#define CKVM_RESULT(call)                                                                          \
    ({                                                                                             \
        int ckvm_result = (call);                                                                  \
        ckvm_result < 0 ? -errno : ckvm_result;                                                    \
    })

static inline int ckvm_open(const char *path) {
    return CKVM_RESULT(open(path, O_RDWR | O_CLOEXEC));
}

static inline int ckvm_get_api_version(int kvm) {
    return CKVM_RESULT(ioctl(kvm, KVM_GET_API_VERSION, 0));
}

static inline int ckvm_create_vm(int kvm, unsigned long type) {
    return CKVM_RESULT(ioctl(kvm, KVM_CREATE_VM, type));
}

// On /dev/kvm or, with KVM_CAP_CHECK_EXTENSION_VM, on a VM.
static inline int ckvm_check_extension(int descriptor, long capability) {
    return CKVM_RESULT(ioctl(descriptor, KVM_CHECK_EXTENSION, capability));
}

static inline int ckvm_get_vcpu_mmap_size(int kvm) {
    return CKVM_RESULT(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
}

#if defined(__x86_64__)
static inline int ckvm_get_supported_cpuid(int kvm, struct kvm_cpuid2 *cpuid) {
    return CKVM_RESULT(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
}
#endif

#endif
