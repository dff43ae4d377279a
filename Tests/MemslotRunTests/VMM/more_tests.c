#include "vmm.h"

// A slot is made, and the guest is told by memory alone, with no system call between: it must
// find the slot there. Then the other way round: once told that it is gone, it must not.
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

// A child of a VMM makes a VM of its own; the parent's it may not touch.
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

// Descriptors are closed, and their numbers somebody else's.
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

struct region2 {
    uint32_t slot, flags;
    uint64_t guest_phys_addr, memory_size, userspace_addr, guest_memfd_offset;
    uint32_t guest_memfd, pad1;
    uint64_t pad2[14];
};

static int set_slot2(struct vm *vm, uint32_t slot, uint64_t address, uint64_t size, int file,
    uint64_t offset) {
    struct region2 words = {.slot = slot, .flags = 4, .guest_phys_addr = address,
        .memory_size = size, .userspace_addr = (uint64_t)vm->region, .guest_memfd_offset = offset,
        .guest_memfd = (uint32_t)file};
    return ioctl(vm->descriptor, _IOW(KVMIO, 0x49, struct region2), &words) < 0 ? errno : 0;
}

// Slots on a guest_memfd are made, split and moved.
int test_memfd(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct vm vm;
    make_vm(&vm, 1, 0);
    struct {
        uint64_t size, flags, reserved[6];
    } words = {.size = REGION_SIZE};
    int file = ioctl(vm.descriptor, _IOWR(KVMIO, 0xd4, words), &words);
    if (file < 0) {
        printf("no guest_memfd here\n");
        return 77;
    }
    int copy = dup(file);
    start(&vm);
    printf("create %d\n", set_slot2(&vm, 3, 0x400000, REGION_SIZE, file, 0));
    printf("same %d\n", set_slot2(&vm, 3, 0x400000, REGION_SIZE, file, 0));
    printf("bound %d\n", set_slot2(&vm, 4, 0x600000, PAGE, file, 0));
    printf("delete %d\n", set_slot2(&vm, 3, 0x400000, 0, -1, 0));
    printf("lower %d\n", set_slot2(&vm, 3, 0x400000, PAGE, file, 0));
    printf("upper %d\n", set_slot2(&vm, 4, 0x400000 + PAGE, PAGE, file, PAGE));
    printf("past the end %d\n", set_slot2(&vm, 5, 0x600000, PAGE, file, REGION_SIZE));
    printf("wrong file %d\n", set_slot2(&vm, 5, 0x600000, PAGE, vm.kvm, 0));
    printf("by a copy %d\n", set_slot2(&vm, 5, 0x600000, PAGE, copy, 2 * PAGE));
    printf("closed file %d\n", set_slot2(&vm, 6, 0x700000, PAGE, 999, 2 * PAGE));
    close(file);
    printf("delete the lower %d\n", set_slot2(&vm, 3, 0x400000, 0, -1, 0));
    stop(&vm);
    return 0;
}

// The guest's writes come out of a vCPU's ring, beside splits and merges.
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
    extern void add_vcpu(struct vm * vm);
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

// Slots on pages that KVM may keep for itself: the host says whether it does. The TSS and the
// identity map page are where QEMU has them.
int test_own(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct vm vm;
    make_vm(&vm, 0, 0);
    uint64_t identity = 0xfeffc000;
    must(ioctl(vm.descriptor, KVM_SET_TSS_ADDR, 0xfeffd000) == 0, "KVM_SET_TSS_ADDR");
    must(ioctl(vm.descriptor, KVM_SET_IDENTITY_MAP_ADDR, &identity) == 0, "the identity map");
    must(ioctl(vm.descriptor, KVM_CREATE_IRQCHIP, 0) == 0, "KVM_CREATE_IRQCHIP");
    extern void add_vcpu(struct vm * vm);
    add_vcpu(&vm);
    start(&vm);
    const uint64_t pages[] = {
        0xfeffc000, 0xfeffd000, 0xfefff000, 0xfee00000, 0xfee01000, 0xfffbc000};
    for (unsigned i = 0; i < sizeof pages / sizeof *pages; i++) {
        int made = set_slot(&vm, 5, 0, pages[i], PAGE, vm.region);
        int moved = made ? 0 : set_slot(&vm, 5, 0, 0x8000000, PAGE, vm.region);
        int deleted = made ? 0 : set_slot(&vm, 5, 0, 0x8000000, 0, vm.region);
        printf("%#lx %d %d %d\n", (unsigned long)pages[i], made, moved, deleted);
    }
    // In the middle of a change: what comes after it is still the same transaction.
    for (int i = 0; i < 20; i++) {
        must(set_slot(&vm, 1, 0, REGION, 0, vm.region) == 0, "deletion");
        int made = set_slot(&vm, 5, 0, 0xfee00000, PAGE, vm.region);
        must(set_slot(&vm, 1, 0, REGION, REGION_SIZE, vm.region) == 0, "whole again");
        if (!made) set_slot(&vm, 5, 0, 0xfee00000, 0, vm.region);
    }
    stop(&vm);
    printf("lost %lu mmio %lu\n", lost(&vm), vm.vcpus[0].mmio);
    return 0;
}

// What the kernel says of slot 9's dirty log, past every library: ENOENT where there is no slot.
static int raw_slot(struct vm *vm) {
    uint64_t words[64];
    struct kvm_dirty_log log = {.slot = 9, .dirty_bitmap = words};
    return syscall(SYS_ioctl, vm->descriptor, KVM_GET_DIRTY_LOG, &log) < 0 ? errno : 0;
}

// Calls of VFIO, iommufd and vhost, on the devices that are there and else on one that knows
// nothing of them: the kernel has the slot before each, and not before any other call.
int test_device(int argc, char **argv) {
    (void)argc;
    (void)argv;
    static const struct {
        const char *name, *path;
        unsigned long request;
    } calls[] = {
        {"vhost", "/dev/vhost-net", _IOW(0xaf, 0x03, uint64_t)},
        {"vsock", "/dev/vhost-vsock", _IOW(0xaf, 0x03, uint64_t)},
        {"vfio map", "/dev/vfio/vfio", _IO(';', 100 + 13)},
        {"vfio unmap", "/dev/vfio/vfio", _IO(';', 100 + 14)},
        {"iommufd", "/dev/iommu", _IO(';', 0x85)},
        {"other", "/dev/null", FIONREAD},
    };
    struct vm vm;
    make_vm(&vm, 1, 0);
    start(&vm);
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        int device = open(calls[i].path, O_RDWR | O_CLOEXEC);
        fprintf(stderr, "%s: %s\n", calls[i].name, device < 0 ? "played" : calls[i].path);
        if (device < 0) device = open("/dev/null", O_RDWR | O_CLOEXEC);
        must(set_slot(&vm, 9, KVM_MEM_LOG_DIRTY_PAGES, 0x9000000, PAGE, vm.region) == 0, "slot 9");
        int before = raw_slot(&vm);
        ioctl(device, calls[i].request, 0);
        printf("%s: before %d after %d\n", calls[i].name, before, raw_slot(&vm));
        must(set_slot(&vm, 9, 0, 0x9000000, 0, vm.region) == 0, "its end");
        // Looks at memory: what is asked is committed here.
        struct kvm_dirty_log log = {.slot = 1};
        ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log);
        close(device);
    }
    stop(&vm);
    printf("lost %lu mmio %lu\n", lost(&vm), vm.vcpus[0].mmio);
    return 0;
}

// Waits for a file, with a VM to look at.
int test_waiting(int argc, char **argv) {
    struct vm vm;
    make_vm(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES);
    while (argc > 0 && access(argv[0], F_OK) != 0) usleep(5000);
    return 0;
}

static double each(uint64_t begin, int count) {
    return (double)(now() - begin) / count;
}

// Nanoseconds of an exit, of a call on a descriptor that isn't KVM's, and of a slot call: the best
// of many short stretches, which a busy machine doesn't interrupt.
static void *idle(void *nothing) {
    pause();
    return nothing;
}

int test_bench(int argc, char **argv) {
    // As every VMM has: the kernel counts a descriptor's users once there is a second thread.
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
