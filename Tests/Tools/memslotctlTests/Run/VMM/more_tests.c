#include "vmm.h"

// A slot is created, and the guest is notified through memory, without a system call in between: it
// must find the slot. After its deletion and another notification it must not.
int test_visible(int argc, char **argv) {
    // Waits until the dword at ES:8 changes, then reads a byte of DS:ebp, writes the dword back.
    static const uint8_t follower[] = {
        0x26, 0x66, 0xa1, 0x08, 0x00,       // wait: mov eax, es:[8]
        0x26, 0x66, 0x3b, 0x06, 0x0c, 0x00, //   cmp eax, es:[12]
        0x74, 0xf3,                         //   je wait
        0x3e, 0x67, 0x8a, 0x5d, 0x00,       // mov bl, ds:[ebp]
        0x26, 0x66, 0xa3, 0x0c, 0x00,       // mov es:[12], eax
        0xeb, 0xe7,                         // jmp wait
    };
    struct vm vm;
    make_vm(&vm, 1, 0);
    memcpy(vm.low + CODE, follower, sizeof follower);
    struct kvm_regs regs = {.rip = CODE, .rflags = 2, .rbp = 0x100000};
    ioctl(vm.vcpus[0].descriptor, KVM_SET_REGS, &regs);
    rounds(&vm.vcpus[0])[0] = 1;
    start(&vm);
    volatile uint32_t *flags = (volatile uint32_t *)rounds(&vm.vcpus[0]) + 2;
    int count = argc > 0 ? atoi(argv[0]) : 50, wrong = 0;
    for (int i = 0; i < count; i++) {
        unsigned long before = __atomic_load_n(&vm.vcpus[0].mmio, __ATOMIC_SEQ_CST);
        must(set_slot(&vm, 3, 0, 0x200000, PAGE, vm.region) == 0, "a new slot");
        flags[0] = flags[0] + 1;
        while (flags[1] != flags[0] && !vm.vcpus[0].errors) sched_yield();
        if (__atomic_load_n(&vm.vcpus[0].mmio, __ATOMIC_SEQ_CST) != before) wrong++;
        before = __atomic_load_n(&vm.vcpus[0].mmio, __ATOMIC_SEQ_CST);
        must(set_slot(&vm, 3, 0, 0x200000, 0, vm.region) == 0, "its deletion");
        flags[0] = flags[0] + 1;
        while (flags[1] != flags[0] && !vm.vcpus[0].errors) sched_yield();
        if (__atomic_load_n(&vm.vcpus[0].mmio, __ATOMIC_SEQ_CST) == before) wrong++;
    }
    stop(&vm);
    printf("out of order %d errors %lu\n", wrong, vm.vcpus[0].errors);
    return 0;
}

// A child of a VMM creates its own VM. It may not change the parent's.
int test_fork(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct vm vm, own;
    make_vm(&vm, 1, 0);
    split(&vm, 0);
    fflush(0);
    pid_t child = fork();
    if (child == 0) {
        printf("parent's in child %d\n", set_slot(&vm, 9, 0, 0x900000, PAGE, vm.region));
        make_vm(&own, 1, 0);
        start(&own);
        split(&own, 0);
        merge(&own, 0);
        stop(&own);
        printf("own in child: lost %lu mmio %lu\n", lost(&own), own.vcpus[0].mmio);
        fflush(0);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    merge(&vm, 0);
    printf("child %d parent %d\n", status, set_slot(&vm, 9, 0, 0x900000, PAGE, vm.region));
    return 0;
}

// Descriptors are closed, and their numbers reused.
int test_reuse(int argc, char **argv) {
    struct vm vm;
    int before = -1;
    for (int i = 0; i < (argc > 0 ? atoi(argv[0]) : 300); i++) {
        make_vm(&vm, 2, 0);
        if (before >= 0) must(before == vm.descriptor, "the same number");
        before = vm.descriptor;
        split(&vm, 0);
        int copy = dup(vm.descriptor);
        close_vm(&vm);
        struct vm other = {.descriptor = copy};
        must(set_slot(&other, 8, 0, 0xa00000, PAGE, vm.region) == 0, "by a copy");
        close(copy);
        int pipes[2];
        must(pipe(pipes) == 0, "pipe");
        struct vm pipe = {.descriptor = pipes[1]};
        int error = set_slot(&pipe, 8, 0, 0xa00000, PAGE, vm.region);
        if (error != ENOTTY) printf("a pipe answered %d\n", error);
        close(pipes[0]);
        close(pipes[1]);
    }
    printf("reused\n");
    return 0;
}

// The guest's writes are read from a vCPU's ring, while slots are split and merged.
int test_ring(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct vm vm;
    make_vm(&vm, 0, KVM_MEM_LOG_DIRTY_PAGES);
    struct kvm_enable_cap cap = {.cap = 192, .args = {4096 * 16}};
    if (ioctl(vm.descriptor, KVM_ENABLE_CAP, &cap) < 0) {
        cap.cap = 223;
        if (ioctl(vm.descriptor, KVM_ENABLE_CAP, &cap) < 0) {
            printf("no dirty ring here\n");
            return 77;
        }
    }
    add_vcpu(&vm);
    struct kvm_dirty_log log = {.slot = 1};
    uint64_t words[64];
    log.dirty_bitmap = words;
    printf("bitmap %d\n", ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log) < 0 ? errno : 0);
    struct kvm_dirty_gfn {
        uint32_t flags, slot;
        uint64_t offset;
    } *ring = mmap(0, 4096 * 16, PROT_READ | PROT_WRITE, MAP_SHARED, vm.vcpus[0].descriptor,
        64 * PAGE);
    must((void *)ring != MAP_FAILED, "mmap of the ring");
    start(&vm);
    split(&vm, KVM_MEM_LOG_DIRTY_PAGES);
    uint32_t last = *rounds(&vm.vcpus[0]);
    while (*(volatile uint32_t *)rounds(&vm.vcpus[0]) < last + 3) sched_yield();
    stop(&vm);
    unsigned seen = 0;
    for (int i = 0; i < 4096 && (ring[i].flags & 1); i++)
        if (ring[i].slot == 2) seen |= 1u << ring[i].offset;
    printf("upper half in the ring %#x lost %lu mmio %lu\n", seen, lost(&vm), vm.vcpus[0].mmio);
    return 0;
}

// Several threads change slots of their own at once.
static struct vm shared;
static void *change(void *argument) {
    uint32_t slot = 10 + 2 * (uint32_t)(uintptr_t)argument;
    uint64_t where = 0x1000000ull * (1 + (uintptr_t)argument);
    for (int i = 0; i < 50; i++) {
        must(set_slot(&shared, slot, 0, where, 2 * PAGE, shared.region) == 0, "one slot");
        must(set_slot(&shared, slot, 0, where, 0, shared.region) == 0, "its deletion");
        must(set_slot(&shared, slot, 0, where, PAGE, shared.region) == 0, "its lower half");
        must(set_slot(&shared, slot + 1, 0, where + PAGE, PAGE, shared.region + PAGE) == 0, "upper");
        must(set_slot(&shared, slot, 0, where, 0, shared.region) == 0, "deletion");
        must(set_slot(&shared, slot + 1, 0, where, 0, shared.region) == 0, "deletion");
    }
    return 0;
}

int test_threads(int argc, char **argv) {
    (void)argc;
    (void)argv;
    make_vm(&shared, 2, 0);
    start(&shared);
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) pthread_create(&threads[i], 0, change, (void *)i);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    stop(&shared);
    printf("lost %lu mmio %lu\n", lost(&shared),
        shared.vcpus[0].mmio + shared.vcpus[1].mmio);
    return 0;
}

// Waits for a file, with a VM to look at.
int test_waiting(int argc, char **argv) {
    struct vm vm;
    make_vm(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES);
    while (argc > 0 && access(argv[0], F_OK) != 0) usleep(5000);
    return 0;
}
