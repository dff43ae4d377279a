// How long vCPUs are held while slots change, on a machine whose processors are all busy.
#include "vmm.h"
#include <linux/futex.h>
#include <limits.h>

static struct vm vm;
static uint32_t is_closed, inside[8];
static int pauses;

static void futex(uint32_t *word, int operation, uint32_t value) {
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, 0, 0, 0);
}

// A vCPU as a VMM that pauses has it: a gate before KVM_RUN, and a word that says whether it is inside.
static void *run(void *argument) {
    struct vcpu *vcpu = argument;
    while (!vm.stops) {
        if (pauses) {
            __atomic_store_n(&inside[vcpu->index], 1, __ATOMIC_SEQ_CST);
            while (__atomic_load_n(&is_closed, __ATOMIC_SEQ_CST)) {
                __atomic_store_n(&inside[vcpu->index], 0, __ATOMIC_SEQ_CST);
                futex(&inside[vcpu->index], FUTEX_WAKE, 1);
                futex(&is_closed, FUTEX_WAIT, 1);
                __atomic_store_n(&inside[vcpu->index], 1, __ATOMIC_SEQ_CST);
            }
        }
        if (ioctl(vcpu->descriptor, KVM_RUN, 0) == 0 && vcpu->run->exit_reason == KVM_EXIT_MMIO)
            vcpu->mmio++;
        vcpu->run->immediate_exit = 0;
    }
    __atomic_store_n(&inside[vcpu->index], 0, __ATOMIC_SEQ_CST);
    return 0;
}

static void leave(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)info;
    (void)context;
    for (int i = 0; i < vm.vcpu_count; i++)
        if (pthread_equal(vm.vcpus[i].thread, pthread_self())) vm.vcpus[i].run->immediate_exit = 1;
}

static void pause_all(void) {
    __atomic_store_n(&is_closed, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < vm.vcpu_count; i++)
        if (__atomic_load_n(&inside[i], __ATOMIC_SEQ_CST)) pthread_kill(vm.vcpus[i].thread, SIGUSR1);
    for (int i = 0; i < vm.vcpu_count; i++)
        while (__atomic_load_n(&inside[i], __ATOMIC_SEQ_CST)) futex(&inside[i], FUTEX_WAIT, 1);
}

static void resume_all(void) {
    __atomic_store_n(&is_closed, 0, __ATOMIC_SEQ_CST);
    futex(&is_closed, FUTEX_WAKE, INT_MAX);
}

// A plain thread that is woken: how long the scheduler takes for one of those.
static uint32_t turn;
static uint64_t woken_at, slowest;

static void *be_woken(void *nothing) {
    for (uint32_t seen = 0; !vm.stops; seen = __atomic_load_n(&turn, __ATOMIC_SEQ_CST)) {
        while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) == seen) futex(&turn, FUTEX_WAIT, seen);
        uint64_t time = now() - __atomic_load_n(&woken_at, __ATOMIC_SEQ_CST);
        if (time > slowest) slowest = time;
    }
    return nothing;
}

static void wake(void) {
    __atomic_store_n(&woken_at, now(), __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&turn, 1, __ATOMIC_SEQ_CST);
    futex(&turn, FUTEX_WAKE, 1);
}

static void change(int flip) {
    if (flip & 1) merge(&vm, 0);
    else split(&vm, 0);
}

// The arguments: how many changes, how many vCPUs, `halted` or `running`, and `pause` for a hold of
// the program's own; without it the calls are made as they are, and somebody else holds. Prints the
// MMIO exits, the scheduler's slowest wake-up, and the time of each change, in nanoseconds.
int test_holds(int argc, char **argv) {
    must(argc >= 3, "name a count, vCPUs, and what they do");
    int count = atoi(argv[0]), vcpus = atoi(argv[1]), is_halted = argv[2][0] == 'h';
    pauses = argc > 3;
    make_vm(&vm, 0, 0);
    if (is_halted) {
        static const uint8_t halt[] = {0xfa, 0xf4, 0xeb, 0xfc}; // cli; again: hlt; jmp again
        memcpy(vm.low + CODE, halt, sizeof halt);
        must(ioctl(vm.descriptor, KVM_CREATE_IRQCHIP, 0) == 0, "KVM_CREATE_IRQCHIP");
    }
    for (int i = 0; i < vcpus; i++) add_vcpu(&vm);
    struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, 0);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    pid_t busy[64];
    for (long i = 0; i < processors && i < 64; i++) {
        busy[i] = fork();
        if (busy[i] == 0)
            for (;;) __asm__ volatile("");
    }
    pthread_t plain;
    pthread_create(&plain, 0, be_woken, 0);
    for (int i = 0; i < vcpus; i++) pthread_create(&vm.vcpus[i].thread, 0, run, &vm.vcpus[i]);
    usleep(100000);
    uint64_t *times = calloc((size_t)count, sizeof *times);
    for (int i = 0; i < count; i++) {
        wake();
        uint64_t begin = now();
        if (pauses) pause_all();
        change(i);
        uint64_t words[64];
        struct kvm_dirty_log log = {.slot = 1, .dirty_bitmap = words};
        // It uses memory, so it ends a hold of somebody else's.
        if (pauses) resume_all();
        else ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log);
        times[i] = now() - begin;
        // The vCPUs get to run between two changes.
        usleep(500);
    }
    vm.stops = 1;
    for (int i = 0; i < vcpus; i++) {
        pthread_kill(vm.vcpus[i].thread, SIGUSR1);
        pthread_join(vm.vcpus[i].thread, 0);
    }
    wake();
    pthread_join(plain, 0);
    for (long i = 0; i < processors && i < 64; i++) kill(busy[i], SIGKILL);
    unsigned long mmio = 0;
    for (int i = 0; i < vcpus; i++) mmio += vm.vcpus[i].mmio;
    printf("mmio %lu\nscheduler %lu\n", mmio, slowest);
    for (int i = 0; i < count; i++) printf("%lu\n", times[i]);
    return 0;
}
