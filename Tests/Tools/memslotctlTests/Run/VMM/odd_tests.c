// What VMMs do that is unusual and allowed.
#include "vmm.h"

static struct vm vm, other;
static volatile int parked, goes_on, is_over;

// Many threads, each of which takes a page away and puts it back.
static void *flip_page(void *index) {
    uint64_t at = (uint64_t)(uintptr_t)index * PAGE;
    uint32_t slot = 20 + (uint32_t)(uintptr_t)index;
    for (int i = 0; i < 150; i++) {
        must(set_slot(&vm, slot, 0, REGION + at, 0, vm.region + at) == 0, "delete");
        usleep(50);
        must(set_slot(&vm, slot, 0, REGION + at, PAGE, vm.region + at) == 0, "create");
        usleep(2000);
    }
    return 0;
}

int test_many(int argc, char **argv) {
    (void)argc;
    (void)argv;
    make_vm(&vm, 1, 0);
    must(set_slot(&vm, 1, 0, REGION, 0, vm.region) == 0, "delete");
    for (uint64_t i = 0; i < REGION_PAGES; i++)
        must(set_slot(&vm, 20 + (uint32_t)i, 0, REGION + i * PAGE, PAGE, vm.region + i * PAGE) == 0, "page");
    start(&vm);
    pthread_t threads[REGION_PAGES];
    for (uintptr_t i = 0; i < REGION_PAGES; i++) pthread_create(&threads[i], 0, flip_page, (void *)i);
    for (uint64_t i = 0; i < REGION_PAGES; i++) pthread_join(threads[i], 0);
    stop(&vm);
    printf("lost %lu mmio %lu\n", lost(&vm), vm.vcpus[0].mmio);
    return 0;
}

// A handler on the vCPU's thread stops the world, or changes slots itself.
static void park(int signal) {
    (void)signal;
    // A call that takes the library's lock.
    set_slot(&vm, 900, 0, 0x20000000, 0, 0);
    parked = 1;
    while (!goes_on) usleep(1000);
}

static void change(int signal) {
    (void)signal;
    split(&vm, 0);
    merge(&vm, 0);
    parked++;
}

int test_handler(int argc, char **argv) {
    (void)argc;
    make_vm(&vm, 1, 0);
    int changes = strcmp(argv[0], "changes") == 0;
    struct sigaction action = {.sa_handler = changes ? change : park};
    sigaction(SIGUSR2, &action, 0);
    start(&vm);
    for (int i = 0; i < (changes ? 50 : 1); i++) {
        int before = parked;
        pthread_kill(vm.vcpus[0].thread, SIGUSR2);
        while (parked == before) usleep(100);
    }
    if (!changes) {
        split(&vm, 0);
        struct kvm_dirty_log log = {.slot = 9};
        // It uses memory, so it ends a hold.
        ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log);
        printf("changed while the handler waits\n");
        // What it does then is no reason to wait for it.
        merge(&vm, 0);
        ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log);
        goes_on = 1;
    }
    usleep(20000);
    stop(&vm);
    // The VMM's own signals interrupt KVM_RUN: that of the handler, and that of the end.
    if (!changes) printf("interruptions %lu\n", vm.vcpus[0].interruptions);
    printf("lost %lu mmio %lu\n", lost(&vm), vm.vcpus[0].mmio);
    return 0;
}

// One VM's threads change slots without a pause, another's vCPU waits for a quiet thread.
static void *flip_for_ever(void *nothing) {
    while (!is_over) {
        set_slot(&other, 100, 0, 0x10000000, PAGE, other.region);
        set_slot(&other, 100, 0, 0x10000000, 0, other.region);
    }
    return nothing;
}

int test_neighbour(int argc, char **argv) {
    (void)argc;
    (void)argv;
    make_vm(&vm, 1, 0);
    make_vm(&other, 0, 0);
    start(&vm);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, flip_for_ever, 0);
    usleep(20000);
    split(&vm, 0);
    uint32_t before = *rounds(&vm.vcpus[0]);
    uint64_t begin = now();
    while (*rounds(&vm.vcpus[0]) - before < 2 && now() - begin < 5000000000ull) usleep(1000);
    int runs = *rounds(&vm.vcpus[0]) - before >= 2;
    is_over = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    stop(&vm);
    printf("%s; lost %lu mmio %lu\n", runs ? "runs" : "stands still", lost(&vm), vm.vcpus[0].mmio);
    return 0;
}

// Waits at the gate while a hold lasts, and never enters the guest.
static void *knock(void *nothing) {
    vm.vcpus[0].run->immediate_exit = 1;
    while (!is_over) {
        ioctl(vm.vcpus[0].descriptor, KVM_RUN, 0);
        usleep(1000);
    }
    return nothing;
}

// A slot with dirty bits that were kept is replaced by a smaller one after the hold's budget is spent.
int test_replaced(int argc, char **argv) {
    (void)argc;
    (void)argv;
    make_vm(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES);
    start(&vm);
    while (*rounds(&vm.vcpus[0]) < 3) usleep(1000);
    stop(&vm);
    // A hold that withholds no entry spends no budget.
    pthread_t thread;
    pthread_create(&thread, 0, knock, 0);
    uint64_t half = REGION_SIZE / 2;
    split(&vm, KVM_MEM_LOG_DIRTY_PAGES);
    uint64_t words[4] = {0};
    struct kvm_dirty_log log = {.slot = 2, .dirty_bitmap = words};
    must(ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log) == 0, "the log of the upper half");
    printf("kept %d\n", __builtin_popcountll(words[0]));
    must(set_slot(&vm, 1, 0, REGION, 0, vm.region) == 0, "delete");
    usleep(300000);
    must(set_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, REGION, half / 2, vm.region) == 0, "smaller");
    usleep(300000);
    words[0] = 0;
    log.slot = 1;
    must(ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log) == 0, "the log of the smaller one");
    printf("new slot %d\n", __builtin_popcountll(words[0]));
    is_over = 1;
    pthread_join(thread, 0);
    return 0;
}

// Tells on its output when the write end of a passed pipe is closed here.
int test_passed(int argc, char **argv) {
    (void)argc;
    make_vm(&vm, 0, 0);
    close(atoi(argv[0]));
    printf("closed\n");
    fflush(stdout);
    getchar();
    return 0;
}

static void *nothing(void *none) { return none; }

// Drops rights after the first commit, as `-runas` does: glibc signals every thread, and waits for it.
int test_identity(int argc, char **argv) {
    (void)argc;
    (void)argv;
    // With the first thread of a process glibc unblocks its signal in the one that creates it.
    pthread_t first;
    pthread_create(&first, 0, nothing, 0);
    pthread_join(first, 0);
    make_vm(&vm, 1, 0);
    start(&vm);
    split(&vm, 0);
    must(setgid(getgid()) == 0 && setuid(getuid()) == 0, "setuid");
    merge(&vm, 0);
    stop(&vm);
    printf("lost %lu mmio %lu\n", lost(&vm), vm.vcpus[0].mmio);
    return 0;
}

// Changes slots before its vCPU has entered the guest: nobody is held.
int test_unstarted(int argc, char **argv) {
    (void)argc;
    (void)argv;
    make_vm(&vm, 1, 0);
    split(&vm, 0);
    usleep(50000);
    merge(&vm, 0);
    usleep(50000);
    printf("ready\n");
    return 0;
}
