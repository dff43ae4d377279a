// Which calls on a VM or a vCPU don't look at guest memory: a VMM makes them while it changes
// slots, and its changes stay one transaction. Interrupts are among them, since no vCPU takes one
// before the transaction is over.
#include "preload.h"

int preload_is_harmless(uint32_t request) {
    switch (request) {
    case (uint32_t)KVM_CHECK_EXTENSION:
    case (uint32_t)KVM_IOEVENTFD:
    case (uint32_t)KVM_IRQFD:
    case (uint32_t)KVM_IRQ_LINE:
    case (uint32_t)KVM_IRQ_LINE_STATUS:
    case (uint32_t)KVM_SIGNAL_MSI:
    case (uint32_t)KVM_SET_GSI_ROUTING:
    case (uint32_t)KVM_REGISTER_COALESCED_MMIO:
    case (uint32_t)KVM_UNREGISTER_COALESCED_MMIO:
    case (uint32_t)KVM_GET_IRQCHIP:
    case (uint32_t)KVM_SET_IRQCHIP:
    case (uint32_t)KVM_GET_CLOCK:
    case (uint32_t)KVM_SET_CLOCK:
    case (uint32_t)KVM_GET_PIT2:
    case (uint32_t)KVM_SET_PIT2:
    case (uint32_t)KVM_GET_REGS:
    case (uint32_t)KVM_SET_REGS:
    case (uint32_t)KVM_GET_SREGS:
    case (uint32_t)KVM_GET_FPU:
    case (uint32_t)KVM_SET_FPU:
    case (uint32_t)KVM_GET_XSAVE:
    case (uint32_t)KVM_SET_XSAVE:
    case (uint32_t)KVM_GET_XCRS:
    case (uint32_t)KVM_SET_XCRS:
    case (uint32_t)KVM_GET_LAPIC:
    case (uint32_t)KVM_SET_LAPIC:
    case (uint32_t)KVM_GET_MP_STATE:
    case (uint32_t)KVM_SET_MP_STATE:
    case (uint32_t)KVM_GET_VCPU_EVENTS:
    case (uint32_t)KVM_SET_VCPU_EVENTS:
    case (uint32_t)KVM_GET_DEBUGREGS:
    case (uint32_t)KVM_SET_DEBUGREGS:
    case (uint32_t)KVM_GET_MSRS:
    case (uint32_t)KVM_GET_TSC_KHZ:
    case (uint32_t)KVM_SET_TSC_KHZ:
    case (uint32_t)KVM_INTERRUPT:
    case (uint32_t)KVM_NMI:
    case (uint32_t)KVM_KVMCLOCK_CTRL: return 1;
    default: return 0;
    }
}
