// The cost of calls.
#include "vmm.h"

static double each(uint64_t begin, int count) {
    return (double)(now() - begin) / count;
}

// Prints the nanoseconds of an exit, of a call on a descriptor that is not KVM's, and of a slot call:
// the best of many short runs, which a busy machine rarely interrupts.
static void *idle(void *nothing) {
    pause();
    return nothing;
}

int test_bench(int argc, char **argv) {
    // With a second thread, as in every VMM, the kernel counts a descriptor's users.
    pthread_t thread;
    pthread_create(&thread, 0, idle, 0);
    int passes = argc > 0 ? atoi(argv[0]) : 500;
    struct vm vm;
    make_vm(&vm, 1, 0);
    struct vcpu *vcpu = &vm.vcpus[0];
    vcpu->run->immediate_exit = 1;
    double exits = 1e9, others = 1e9, slots = 1e9;
    int pipes[2], waiting;
    must(pipe(pipes) == 0, "pipe");
    for (int pass = 0; pass < passes; pass++) {
        ioctl(vcpu->descriptor, KVM_RUN, 0);
        uint64_t begin = now();
        for (int i = 0; i < 50; i++) ioctl(vcpu->descriptor, KVM_RUN, 0);
        if (each(begin, 50) < exits) exits = each(begin, 50);
        begin = now();
        for (int i = 0; i < 50; i++) ioctl(pipes[0], FIONREAD, &waiting);
        if (each(begin, 50) < others) others = each(begin, 50);
        begin = now();
        for (int i = 0; i < 2; i++) {
            set_slot(&vm, 20, 0, 0x2000000, PAGE, vm.region);
            set_slot(&vm, 20, 0, 0x2000000, 0, vm.region);
        }
        if (each(begin, 4) < slots) slots = each(begin, 4);
    }
    printf("exit %.1f ns, other ioctl %.1f ns, slot call %.0f ns\n", exits, others, slots);
    return 0;
}
