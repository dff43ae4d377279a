// vCPUs that halt, and are woken by interrupts while slots change.
#include "vmm.h"

// It halts, and after each interrupt increments a word in each page of DS and its count at ES:0.
static const uint8_t sleeper[] = {
    0xb0, 0x11, 0xe6, 0x20,                   // the interrupt controller: vectors from 8,
    0xb0, 0x08, 0xe6, 0x21,                   //
    0xb0, 0x04, 0xe6, 0x21,                   //
    0xb0, 0x01, 0xe6, 0x21,                   //
    0xb0, 0xfe, 0xe6, 0x21,                   //   line 0 alone
    0xfb, 0xf4, 0xfa,                         // again: sti; hlt; cli
    0x66, 0x89, 0xd3,                         // mov ebx, edx
    0x67, 0xff, 0x03,                         // page: inc word [ebx]
    0x66, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00, //   add ebx, 4096
    0x66, 0x39, 0xcb,                         //   cmp ebx, ecx
    0x72, 0xf1,                               //   jb page
    0x26, 0x66, 0xff, 0x06, 0x00, 0x00,       // inc dword es:[0]
    0xeb, 0xe3,                               // jmp again
};
static const uint8_t handler[] = {0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf};

static struct vm vm;
static volatile int ends;

static void *interrupt(void *pause) {
    for (unsigned i = 0; !ends; i++) {
        struct kvm_irq_level level = {.irq = 0, .level = i & 1};
        ioctl(vm.descriptor, KVM_IRQ_LINE, &level);
        struct timespec time = {0, i * 7919 % 100 * *(long *)pause};
        nanosleep(&time, 0);
    }
    return 0;
}

// Beside the vCPU that is woken there are others that wait for their start and sleep all the time.
static void *wait_for_start(void *argument) {
    struct vcpu *vcpu = argument;
    while (!ends) {
        if (ioctl(vcpu->descriptor, KVM_RUN, 0) == 0) vcpu->errors++;
        vcpu->run->immediate_exit = 0;
    }
    return 0;
}

// The call uses memory, so it commits the deferred calls.
static void commit(void) {
    uint64_t words[64];
    struct kvm_dirty_log log = {.slot = 1, .dirty_bitmap = words};
    ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log);
}

// The arguments: how often slots change, how many vCPUs there are, a hundredth of the longest pause
// between interrupts in nanoseconds, and, if there is a fourth, that all threads share a processor:
// a vCPU that is kicked can't leave then before the next instruction of the thread that kicks it.
int test_halted(int argc, char **argv) {
    int count = argc > 0 ? atoi(argv[0]) : 100, vcpus = argc > 1 ? atoi(argv[1]) : 2;
    long pause = argc > 2 ? atol(argv[2]) : 1000;
    if (argc > 3) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET((size_t)sched_getcpu(), &one);
        must(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
    }
    make_vm(&vm, 0, 0);
    memcpy(vm.low + CODE, sleeper, sizeof sleeper);
    memcpy(vm.low + CODE + 0x100, handler, sizeof handler);
    *(uint32_t *)(vm.low + 4 * 8) = CODE + 0x100;
    must(ioctl(vm.descriptor, KVM_CREATE_IRQCHIP, 0) == 0, "KVM_CREATE_IRQCHIP");
    for (int i = 0; i < vcpus; i++) add_vcpu(&vm);
    struct kvm_regs regs = {.rip = CODE, .rflags = 2, .rsp = 0x8000, .rcx = REGION_SIZE};
    must(ioctl(vm.vcpus[0].descriptor, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
    pthread_t interrupter;
    pthread_create(&interrupter, 0, interrupt, &pause);
    vm.vcpu_count = 1;
    start(&vm);
    for (int i = 1; i < vcpus; i++)
        pthread_create(&vm.vcpus[i].thread, 0, wait_for_start, &vm.vcpus[i]);
    usleep(20000);
    for (int i = 0; i < count; i++) {
        split(&vm, 0);
        commit();
        merge(&vm, 0);
        commit();
    }
    ends = 1;
    pthread_join(interrupter, 0);
    stop(&vm);
    unsigned long errors = vm.vcpus[0].errors;
    for (int i = 1; i < vcpus; i++) {
        __atomic_store_n(&vm.vcpus[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        pthread_kill(vm.vcpus[i].thread, SIGUSR1);
        pthread_join(vm.vcpus[i].thread, 0);
        errors += vm.vcpus[i].errors;
    }
    printf("mmio %lu errors %lu interruptions %lu lost %lu\n", vm.vcpus[0].mmio, errors,
        vm.vcpus[0].interruptions, lost(&vm));
    return 0;
}
