#include "ys_machine.h"

#include "ys_threads.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
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

struct ys_machine {
    int vm;
    int vcpu;
    size_t run_size;
    struct kvm_run *run;
    void *memory;
    pthread_t thread;
    _Atomic int id;
    _Atomic int stops;
    _Atomic int spins;
    // `held`: 1 while the vCPU must stay out. `outside`: 1 once its thread waits outside.
    _Atomic int held;
    _Atomic int outside;
    // 1 while the guest must rest; 1 once its thread sleeps.
    _Atomic int rests;
    _Atomic int is_resting;
};

static int kick_signal(void) { return SIGRTMIN + 7; }

static void on_kick(int signal) { (void)signal; }

static void futex_wait(_Atomic int *word, int value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic int *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wait_while(_Atomic int *word, int value, int spins) {
    while (atomic_load(word) == value)
        if (!spins) futex_wait(word, value);
}

static void *run_guest(void *argument) {
    struct ys_machine *machine = argument;
    atomic_store(&machine->id, (int)syscall(SYS_gettid));
    while (!atomic_load(&machine->stops)) {
        if (atomic_load(&machine->rests)) {
            atomic_store(&machine->is_resting, 1);
            wait_while(&machine->rests, 1, 0);
            atomic_store(&machine->is_resting, 0);
            machine->run->immediate_exit = 0;
            continue;
        }
        if (atomic_load(&machine->held)) {
            int spins = atomic_load(&machine->spins);
            atomic_store(&machine->outside, 1);
            if (!spins) futex_wake(&machine->outside);
            wait_while(&machine->held, 1, spins);
            atomic_store(&machine->outside, 0);
            machine->run->immediate_exit = 0;
            // It may be held again already, and the kick was cleared above.
            continue;
        }
        ioctl(machine->vcpu, KVM_RUN, 0);
    }
    return NULL;
}

#if defined(__x86_64__)
static int begin_in_real_mode(struct ys_machine *machine) {
    struct kvm_sregs special;
    if (ioctl(machine->vcpu, KVM_GET_SREGS, &special) < 0) return -errno;
    special.cs.base = 0;
    special.cs.selector = 0;
    if (ioctl(machine->vcpu, KVM_SET_SREGS, &special) < 0) return -errno;
    struct kvm_regs registers = {.rip = 0x1000, .rflags = 2};
    if (ioctl(machine->vcpu, KVM_SET_REGS, &registers) < 0) return -errno;
    // again: incl 0x2000; jmp again
    memcpy((char *)machine->memory + 0x1000, "\x66\xff\x06\x00\x20\xeb\xf9", 7);
    return 0;
}
#else
static int begin_in_real_mode(struct ys_machine *machine) {
    (void)machine;
    return -ENOSYS;
}
#endif

static int begin(struct ys_machine *machine) {
    enum { bytes = 1 << 16 };
    struct sigaction action = {.sa_handler = on_kick};
    sigaction(kick_signal(), &action, NULL);
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) return -errno;
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    close(kvm);
    if ((machine->vm = ys_vm_make()) < 0) return machine->vm;
    if ((machine->vcpu = ioctl(machine->vm, KVM_CREATE_VCPU, 0)) < 0) return -errno;
    if (size < 0) return -EINVAL;
    machine->run_size = (size_t)size;
    void *run = mmap(0, machine->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpu, 0);
    if (run == MAP_FAILED) return -errno;
    machine->run = run;
    void *memory = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return -errno;
    machine->memory = memory;
    // An id that no array of the benchmark uses.
    struct ys_region region = {.slot = 600, .size = bytes, .host = (uint64_t)(uintptr_t)memory};
    int status = ys_set_regions(machine->vm, &region, 1);
    if (status == 0) status = begin_in_real_mode(machine);
    if (status < 0) return status;
    atomic_store(&machine->rests, 1);
    status = -pthread_create(&machine->thread, NULL, run_guest, machine);
    while (status == 0 && atomic_load(&machine->id) == 0) usleep(100);
    return status;
}

struct ys_machine *ys_machine_make(int *status) {
    struct ys_machine *machine = calloc(1, sizeof *machine);
    if (machine == NULL) {
        *status = -ENOMEM;
        return NULL;
    }
    machine->vm = machine->vcpu = -1;
    *status = begin(machine);
    if (*status == 0) return machine;
    ys_machine_end(machine);
    return NULL;
}

static void kick(struct ys_machine *machine) {
    __atomic_store_n(&machine->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_tgkill, getpid(), atomic_load(&machine->id), kick_signal());
}

void ys_machine_rest(struct ys_machine *machine) {
    atomic_store(&machine->rests, 1);
    kick(machine);
    while (!atomic_load(&machine->is_resting)) usleep(10);
}

void ys_machine_go_on(struct ys_machine *machine) {
    atomic_store(&machine->rests, 0);
    futex_wake(&machine->rests);
    while (atomic_load(&machine->is_resting)) usleep(10);
}

void ys_machine_end(struct ys_machine *machine) {
    if (machine == NULL) return;
    if (atomic_load(&machine->id) != 0) {
        atomic_store(&machine->stops, 1);
        ys_machine_go_on(machine);
        kick(machine);
        pthread_join(machine->thread, NULL);
    }
    if (machine->run != NULL) munmap(machine->run, machine->run_size);
    ys_close(machine->vcpu);
    ys_close(machine->vm);
    free(machine);
}

int ys_machine_vm(const struct ys_machine *machine) { return machine->vm; }

// Waits until the guest counts, because holding a vCPU that is outside takes no time.
static int wait_until_inside(struct ys_machine *machine) {
    volatile uint32_t *counter = (uint32_t *)((char *)machine->memory + 0x2000);
    while (atomic_load(&machine->outside)) {}
    uint32_t before = *counter;
    uint64_t start = ys_now();
    while (*counter == before)
        if (ys_now() - start > 5000000000u) return 0;
    return 1;
}

struct ys_blackout ys_black_out(
    struct ys_machine *machine, const struct ys_region *regions, size_t count, int spins) {
    struct ys_blackout result = {0};
    atomic_store(&machine->spins, spins);
    if (!wait_until_inside(machine)) return (struct ys_blackout){.status = -ETIMEDOUT};
    uint64_t start = ys_now();
    atomic_store(&machine->held, 1);
    kick(machine);
    wait_while(&machine->outside, 0, spins);
    uint64_t calls = ys_now();
    result.status = ys_set_regions(machine->vm, regions, count);
    result.calls = ys_now() - calls;
    atomic_store(&machine->held, 0);
    if (!spins) futex_wake(&machine->held);
    result.total = ys_now() - start;
    return result;
}
