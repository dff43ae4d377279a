#include "vmm.h"

// 16-bit code. It increments a word in each page of DS, then its count of rounds at ES:0, and leaves
// by a port when that reaches the limit at ES:4. On entry edx is the offset of its words, ecx the
// region's size.
static const uint8_t code[] = {
    0x66, 0x89, 0xd3,                         // round: mov ebx, edx
    0x67, 0xff, 0x03,                         // page: inc word [ebx]
    0x66, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00, //   add ebx, 4096
    0x66, 0x39, 0xcb,                         //   cmp ebx, ecx
    0x72, 0xf1,                               //   jb page
    0x26, 0x66, 0xff, 0x06, 0x00, 0x00,       // inc dword es:[0]
    0x26, 0x66, 0xa1, 0x00, 0x00,             // mov eax, es:[0]
    0x26, 0x66, 0x3b, 0x06, 0x04, 0x00,       // cmp eax, es:[4]
    0x75, 0xdb,                               // jne round
    0xe6, 0x10,                               // out 0x10, al
    0xeb, 0xd7,                               // jmp round
};

void must(int condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "vmm: %s: %s\n", what, strerror(errno));
    exit(9);
}

uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int set_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t address, uint64_t size,
    const void *memory) {
    struct kvm_userspace_memory_region words = {
        .slot = slot, .flags = flags, .guest_phys_addr = address, .memory_size = size,
        .userspace_addr = (uint64_t)memory};
    return ioctl(vm->descriptor, KVM_SET_USER_MEMORY_REGION, &words) < 0 ? errno : 0;
}

static void *memory(uint64_t size) {
    void *mapped =
        mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(mapped != MAP_FAILED, "mmap");
    return mapped;
}

static void segment(struct kvm_segment *segment, uint64_t base) {
    segment->base = base;
    segment->selector = (uint16_t)(base >> 4);
    segment->limit = 0xffffffff;
    segment->g = 1;
}


static void make_vcpu(struct vm *vm, int index) {
    struct vcpu *vcpu = &vm->vcpus[index];
    memset(vcpu, 0, sizeof *vcpu);
    vcpu->vm = vm;
    vcpu->index = index;
    vcpu->descriptor = ioctl(vm->descriptor, KVM_CREATE_VCPU, (long)index);
    must(vcpu->descriptor >= 0, "KVM_CREATE_VCPU");
    int size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    vcpu->run = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->descriptor, 0);
    must(vcpu->run != MAP_FAILED, "mmap of a vCPU");
    struct kvm_sregs sregs;
    must(ioctl(vcpu->descriptor, KVM_GET_SREGS, &sregs) == 0, "KVM_GET_SREGS");
    segment(&sregs.cs, 0);
    segment(&sregs.ds, REGION);
    segment(&sregs.es, STATUS + 64 * index);
    must(ioctl(vcpu->descriptor, KVM_SET_SREGS, &sregs) == 0, "KVM_SET_SREGS");
    struct kvm_regs regs = {
        .rip = CODE, .rflags = 2, .rdx = 4 * index, .rcx = REGION_SIZE};
    must(ioctl(vcpu->descriptor, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
}

void make_vm(struct vm *vm, int vcpus, uint32_t region_flags) {
    memset(vm, 0, sizeof *vm);
    vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    must(vm->kvm >= 0, "/dev/kvm");
    vm->descriptor = ioctl(vm->kvm, KVM_CREATE_VM, 0);
    must(vm->descriptor >= 0, "KVM_CREATE_VM");
    vm->low = memory(LOW_SIZE);
    vm->region = memory(REGION_SIZE);
    memcpy(vm->low + CODE, code, sizeof code);
    must(set_slot(vm, 0, 0, 0, LOW_SIZE, vm->low) == 0, "slot 0");
    must(set_slot(vm, 1, region_flags, REGION, REGION_SIZE, vm->region) == 0, "slot 1");
    for (int i = 0; i < vcpus; i++) make_vcpu(vm, i);
    vm->vcpu_count = vcpus;
}

void add_vcpu(struct vm *vm) {
    make_vcpu(vm, vm->vcpu_count++);
}

void close_vm(struct vm *vm) {
    for (int i = 0; i < vm->vcpu_count; i++) {
        munmap(vm->vcpus[i].run, (size_t)ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
        close(vm->vcpus[i].descriptor);
    }
    close(vm->descriptor);
    close(vm->kvm);
    munmap(vm->low, LOW_SIZE);
    munmap(vm->region, REGION_SIZE);
}

uint32_t *rounds(struct vcpu *vcpu) {
    return (uint32_t *)(vcpu->vm->low + STATUS + 64 * vcpu->index);
}

static void *work(void *argument) {
    struct vcpu *vcpu = argument;
    while (!vcpu->vm->stops) {
        int result = ioctl(vcpu->descriptor, KVM_RUN, 0);
        if (result < 0) {
            if (errno != EINTR) {
                vcpu->errors++;
                break;
            }
            vcpu->interruptions++;
            vcpu->run->immediate_exit = 0;
            continue;
        }
        if (vcpu->run->exit_reason == KVM_EXIT_MMIO) vcpu->mmio++;
        else if (vcpu->run->exit_reason == KVM_EXIT_IO) vcpu->port_exits++;
        else {
            vcpu->errors++;
            break;
        }
    }
    return 0;
}

static void nothing(int signal) {
    (void)signal;
}

void start(struct vm *vm) {
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGUSR1, &action, 0);
    for (int i = 0; i < vm->vcpu_count; i++)
        must(pthread_create(&vm->vcpus[i].thread, 0, work, &vm->vcpus[i]) == 0, "pthread_create");
    for (int i = 0; i < vm->vcpu_count; i++)
        while (__atomic_load_n(rounds(&vm->vcpus[i]), __ATOMIC_RELAXED) == 0
            && !vm->vcpus[i].errors)
            sched_yield();
}

void stop(struct vm *vm) {
    vm->stops = 1;
    for (int i = 0; i < vm->vcpu_count; i++) {
        __atomic_store_n(&vm->vcpus[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        pthread_kill(vm->vcpus[i].thread, SIGUSR1);
        pthread_join(vm->vcpus[i].thread, 0);
    }
}

unsigned long lost(struct vm *vm) {
    unsigned long count = 0;
    for (int i = 0; i < vm->vcpu_count; i++)
        for (uint64_t page = 0; page < REGION_PAGES; page++) {
            uint16_t number = *(uint16_t *)(vm->region + page * PAGE + 4 * i);
            if ((uint16_t)(number - (uint16_t)*rounds(&vm->vcpus[i])) > 1) count++;
        }
    return count;
}

void split(struct vm *vm, uint32_t flags) {
    uint64_t half = REGION_SIZE / 2;
    must(set_slot(vm, 1, 0, REGION, 0, vm->region) == 0, "delete");
    must(set_slot(vm, 1, flags, REGION, half, vm->region) == 0, "lower half");
    must(set_slot(vm, 2, flags, REGION + half, half, vm->region + half) == 0, "upper half");
}

void merge(struct vm *vm, uint32_t flags) {
    uint64_t half = REGION_SIZE / 2;
    must(set_slot(vm, 1, 0, REGION, 0, vm->region) == 0, "delete the lower half");
    must(set_slot(vm, 2, 0, REGION + half, 0, vm->region + half) == 0, "delete the upper half");
    must(set_slot(vm, 1, flags, REGION, REGION_SIZE, vm->region) == 0, "the whole");
}

int main(int argc, char **argv) {
    // The parent may have blocked signals.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    for (const struct test *test = tests; argc > 1 && test->name; test++)
        if (strcmp(test->name, argv[1]) == 0) return test->run(argc - 2, argv + 2);
    fprintf(stderr, "vmm: name a test\n");
    return 8;
}
