// Requests on the descriptor of a vCPU. Documentation/virt/kvm/api.rst, section in brackets.
#ifndef CKVM_VCPU_H
#define CKVM_VCPU_H

#include "ckvm_system.h"

// [4.10]
static inline int ckvm_run(int vcpu) {
    return CKVM_RESULT(ioctl(vcpu, KVM_RUN, 0));
}

// [4.11]
static inline int ckvm_get_regs(int vcpu, struct kvm_regs *regs) {
    return CKVM_RESULT(ioctl(vcpu, KVM_GET_REGS, regs));
}

// [4.12]
static inline int ckvm_set_regs(int vcpu, const struct kvm_regs *regs) {
    return CKVM_RESULT(ioctl(vcpu, KVM_SET_REGS, regs));
}

#if defined(__x86_64__)
// [4.13]
static inline int ckvm_get_sregs(int vcpu, struct kvm_sregs *sregs) {
    return CKVM_RESULT(ioctl(vcpu, KVM_GET_SREGS, sregs));
}

// [4.14]
static inline int ckvm_set_sregs(int vcpu, const struct kvm_sregs *sregs) {
    return CKVM_RESULT(ioctl(vcpu, KVM_SET_SREGS, sregs));
}

// [4.66]
static inline int ckvm_set_cpuid2(int vcpu, const struct kvm_cpuid2 *cpuid) {
    return CKVM_RESULT(ioctl(vcpu, KVM_SET_CPUID2, cpuid));
}
#endif

#endif
