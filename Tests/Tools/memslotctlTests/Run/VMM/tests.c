#include "vmm.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

static int number(int argc, char **argv, int otherwise) {
    return argc > 0 ? atoi(argv[0]) : otherwise;
}

static void print_counts(struct vm *vm) {
    unsigned long mmio = 0, errors = 0, interruptions = 0;
    for (int i = 0; i < vm->vcpu_count; i++) {
        mmio += vm->vcpus[i].mmio;
        errors += vm->vcpus[i].errors;
        interruptions += vm->vcpus[i].interruptions;
    }
    printf("mmio %lu errors %lu interruptions %lu lost %lu\n", mmio, errors, interruptions,
        lost(vm));
}

// A thread without a vCPU splits and merges the region under two vCPUs.
static int test_split(int argc, char **argv) {
    struct vm vm;
    make_vm(&vm, 2, 0);
    start(&vm);
    // A recording separates transactions by pauses: creating the VM is one.
    usleep(30000);
    for (int i = 0; i < number(argc, argv, 100); i++) {
        split(&vm, 0);
        merge(&vm, 0);
    }
    stop(&vm);
    print_counts(&vm);
    return 0;
}

// A vCPU's own thread splits and merges at a port exit, while another vCPU runs.
static int test_exit(int argc, char **argv) {
    struct vm vm;
    make_vm(&vm, 2, 0);
    struct vcpu *own = &vm.vcpus[1];
    vm.vcpu_count = 1;
    start(&vm);
    int count = number(argc, argv, 50), spurious = 0;
    for (int i = 0; i < count; i++) {
        rounds(own)[1] = rounds(own)[0] + 1;
        while (ioctl(own->descriptor, KVM_RUN, 0) == 0 && own->run->exit_reason == KVM_EXIT_MMIO)
            spurious++;
        must(own->run->exit_reason == KVM_EXIT_IO, "a port exit");
        if (i % 2) merge(&vm, 0);
        else split(&vm, 0);
    }
    stop(&vm);
    printf("own mmio %d; ", spurious);
    print_counts(&vm);
    // Commits the last change: otherwise the process could end in the middle of it.
    close_vm(&vm);
    return 0;
}

// The kernel's errors.
static int test_errors(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct vm vm;
    make_vm(&vm, 1, 0);
    printf("overlap %d\n", set_slot(&vm, 5, 0, REGION, PAGE, vm.region));
    printf("absent %d\n", set_slot(&vm, 6, 0, 0, 0, 0));
    printf("misaligned %d\n", set_slot(&vm, 6, 0, 1, PAGE, vm.region));
    printf("flags %d\n", set_slot(&vm, 6, 1 << 7, 0x800000, PAGE, vm.region));
    printf("size %d\n", set_slot(&vm, 1, 0, REGION, PAGE, vm.region));
    printf("id %d\n", set_slot(&vm, 40000, 0, 0x800000, PAGE, vm.region));
    printf("far %d\n", set_slot(&vm, 6, 0, 1ull << 60, PAGE, vm.region));
    printf("end before start %d\n", set_slot(&vm, 6, 0, ~0ull, PAGE, vm.region));
    printf("pointer %d\n", ioctl(vm.descriptor, KVM_SET_USER_MEMORY_REGION, (void *)8) < 0 ? errno : 0);
    printf("same %d\n", set_slot(&vm, 1, 0, REGION, REGION_SIZE, vm.region));
    printf("move %d\n", set_slot(&vm, 1, 0, REGION + PAGE, REGION_SIZE, vm.region));
    printf("back %d\n", set_slot(&vm, 1, 0, REGION, REGION_SIZE, vm.region));
    printf("delete %d\n", set_slot(&vm, 1, 0, REGION, 0, vm.region));
    printf("again %d\n", set_slot(&vm, 1, 0, REGION, 0, vm.region));
    printf("create %d\n", set_slot(&vm, 1, 0, REGION, PAGE, vm.region));
    struct kvm_dirty_log log = {.slot = 1};
    printf("log %d\n", ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log) < 0 ? errno : 0);
    close_vm(&vm);
    return 0;
}

static int dirty_pages(struct vm *vm, uint32_t slot) {
    uint64_t words[64] = {0};
    struct kvm_dirty_log log = {.slot = slot};
    log.dirty_bitmap = words;
    must(ioctl(vm->descriptor, KVM_GET_DIRTY_LOG, &log) == 0, "KVM_GET_DIRTY_LOG");
    int count = 0;
    for (int i = 0; i < 64; i++) count += __builtin_popcountll(words[i]);
    return count;
}

// One round dirties every page. After the slots have changed the pages are reported once.
static int test_dirty(int argc, char **argv) {
    struct vm vm;
    make_vm(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES);
    int manual = number(argc, argv, 0);
    if (manual) {
        struct kvm_enable_cap cap = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = {1}};
        must(ioctl(vm.descriptor, KVM_ENABLE_CAP, &cap) == 0, "KVM_ENABLE_CAP");
    }
    rounds(&vm.vcpus[0])[1] = 1;
    must(ioctl(vm.vcpus[0].descriptor, KVM_RUN, 0) == 0, "KVM_RUN");
    split(&vm, KVM_MEM_LOG_DIRTY_PAGES);
    printf("after split %d %d\n", dirty_pages(&vm, 1), dirty_pages(&vm, 2));
    printf("read again %d %d\n", dirty_pages(&vm, 1), dirty_pages(&vm, 2));
    if (manual) {
        uint64_t words[1] = {0x0f};
        struct kvm_clear_dirty_log clear = {.slot = 2, .num_pages = 8};
        clear.dirty_bitmap = words;
        must(ioctl(vm.descriptor, KVM_CLEAR_DIRTY_LOG, &clear) == 0, "KVM_CLEAR_DIRTY_LOG");
        printf("cleared half %d %d\n", dirty_pages(&vm, 1), dirty_pages(&vm, 2));
    }
    merge(&vm, KVM_MEM_LOG_DIRTY_PAGES);
    printf("after merge %d\n", dirty_pages(&vm, 1));
    return 0;
}

// Each of the VMM's own kicks arrives, also while slots change.
static int test_kicks(int argc, char **argv) {
    struct vm vm;
    make_vm(&vm, 1, 0);
    start(&vm);
    struct vcpu *vcpu = &vm.vcpus[0];
    int count = number(argc, argv, 100);
    for (int i = 0; i < count; i++) {
        unsigned long before = __atomic_load_n(&vcpu->interruptions, __ATOMIC_RELAXED);
        if (i % 2) split(&vm, 0);
        __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        pthread_kill(vcpu->thread, SIGUSR1);
        uint64_t begin = now();
        while (__atomic_load_n(&vcpu->interruptions, __ATOMIC_RELAXED) == before)
            if (now() - begin > 60000000000ull) {
                printf("kick %d was lost\n", i);
                return 1;
            }
        if (i % 2) merge(&vm, 0);
    }
    stop(&vm);
    printf("all kicks seen; ");
    print_counts(&vm);
    return 0;
}

// Where KVM emulates the guest's instructions it leaves with MMIO, not with EFAULT: then a filter fails
// the next KVM_RUN in its stead.
static void fail_next_run(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EFAULT),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof *code, code};
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS");
    must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0,
        "seccomp");
}

// Memory under a slot goes away while a vCPU walks it, and KVM_RUN fails.
static int test_fault(int argc, char **argv) {
    struct vm vm;
    make_vm(&vm, 1, 0);
    int file = memfd_create("region", 0);
    must(file >= 0 && ftruncate(file, REGION_SIZE) == 0, "memfd");
    must(set_slot(&vm, 1, 0, REGION, 0, vm.region) == 0, "delete");
    vm.region = mmap(0, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    must(vm.region != MAP_FAILED, "mmap");
    // Only the mapping keeps the file.
    if (argc > 1) close(file);
    must(set_slot(&vm, 1, 0, REGION, REGION_SIZE, vm.region) == 0, "slot 1");
    start(&vm);
    uint8_t *page = vm.region + 4 * PAGE;
    switch (argc > 0 ? *argv[0] : 'u') {
    case 'u': must(munmap(page, PAGE) == 0, "munmap"); break;
    case 'p': must(mprotect(page, 2 * PAGE, PROT_READ) == 0, "mprotect"); break;
    case 'n': must(mprotect(page, 2 * PAGE, PROT_NONE) == 0, "mprotect"); break;
    default: must(ftruncate(file, 8 * PAGE) == 0, "ftruncate");
    }
    struct vcpu *vcpu = &vm.vcpus[0];
    while (!vcpu->errors && !__atomic_load_n(&vcpu->mmio, __ATOMIC_RELAXED)) sched_yield();
    if (!vcpu->errors) fail_next_run();
    while (!__atomic_load_n(&vcpu->errors, __ATOMIC_RELAXED)) sched_yield();
    printf("errors %lu\n", vm.vcpus[0].errors);
    return 0;
}

// A slot is deleted, and its memory unmapped at once.
static int test_unmap(int argc, char **argv) {
    struct vm vm;
    make_vm(&vm, 1, 0);
    start(&vm);
    uint64_t where = 0x800000;
    for (int i = 0; i < number(argc, argv, 20); i++) {
        void *more = mmap(0, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        must(set_slot(&vm, 7, 0, where, REGION_SIZE, more) == 0, "another slot");
        // The call uses slots, so the kernel has this one afterwards.
        struct kvm_dirty_log log = {.slot = 7};
        must(ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log) < 0 && errno == ENOENT, "no log");
        must(set_slot(&vm, 7, 0, where, 0, more) == 0, "its deletion");
        must(munmap(more, REGION_SIZE) == 0, "munmap");
    }
    stop(&vm);
    print_counts(&vm);
    return 0;
}

static int test_kill(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct vm vm;
    make_vm(&vm, 1, 0);
    split(&vm, 0);
    fflush(0);
    kill(getpid(), SIGKILL);
    return 0;
}

extern int test_visible(int, char **), test_fork(int, char **), test_reuse(int, char **),
    test_memfd(int, char **), test_ring(int, char **), test_bench(int, char **),
    test_threads(int, char **), test_own(int, char **), test_waiting(int, char **),
    test_device(int, char **), test_stack(int, char **), test_self(int, char **),
    test_abort(int, char **), test_halted(int, char **), test_signalled(int, char **),
    test_vfork(int, char **), test_message(int, char **), test_holds(int, char **),
    test_many(int, char **), test_handler(int, char **), test_neighbour(int, char **),
    test_replaced(int, char **), test_passed(int, char **), test_identity(int, char **),
    test_unstarted(int, char **), test_table(int, char **);

const struct test tests[] = {
    {"split", test_split}, {"exit", test_exit}, {"errors", test_errors}, {"dirty", test_dirty},
    {"kicks", test_kicks}, {"fault", test_fault}, {"unmap", test_unmap}, {"kill", test_kill}, {"visible", test_visible},
    {"fork", test_fork}, {"reuse", test_reuse}, {"memfd", test_memfd}, {"ring", test_ring},
    {"bench", test_bench}, {"threads", test_threads}, {"own", test_own},
    {"waiting", test_waiting}, {"device", test_device}, {"stack", test_stack}, {"self", test_self},
    {"abort", test_abort}, {"halted", test_halted},
    {"signalled", test_signalled}, {"vfork", test_vfork},
    {"message", test_message}, {"holds", test_holds}, {"many", test_many}, {"handler", test_handler},
    {"neighbour", test_neighbour}, {"replaced", test_replaced}, {"passed", test_passed},
    {"identity", test_identity}, {"unstarted", test_unstarted},
    {"table", test_table}, {0, 0}};
