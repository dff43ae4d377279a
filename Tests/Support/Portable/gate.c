// The gate of CPreload. Where KVM opens, a vCPU in a loop is kicked and leaves each time.
#include "preload_gate.c"  // For its static functions.

#include "CKVM.h"
#include "portable.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

struct crun_header *preload_header;
struct preload_vcpu preload_vcpus[PRELOAD_VCPUS];
uint32_t preload_vcpu_end;
int32_t preload_process;
void cpreload_stop(const char *message) { fprintf(stderr, "%s\n", message); exit(3); }
uint64_t preload_now(void) { return 0; }
int32_t preload_thread(void) { return (int32_t)syscall(SYS_gettid); }
int preload_is_blocking(const struct preload_vcpu *vcpu) { (void)vcpu; return 0; }
void preload_announce_commit(void) {}
void preload_settle(struct preload_vm *vm, uint32_t why) { (void)vm; (void)why; }

// What the handler makes of a thread that a signal finds at `at` with this result of its call.
static int find(uintptr_t at, int64_t result, uintptr_t *then) {
    ucontext_t context;
    memset(&context, 0, sizeof context);
    PROGRAM_COUNTER(&context) = at;
    CALL_RESULT(&context) = result;
    int is_ours = turn_back(&context);
    *then = (uintptr_t)PROGRAM_COUNTER(&context);
    return is_ours;
}

static void test_handler(void) {
    const uintptr_t begin = (uintptr_t)preload_enter_begin, end = (uintptr_t)preload_enter_end;
    const uintptr_t refused = (uintptr_t)preload_enter_refused;
    uintptr_t then;
    REQUIRE(begin < end && end < refused);
    for (uintptr_t at = begin; at < end; at++) REQUIRE(!find(at, 0, &then) && then == refused);
    REQUIRE(find(end, -EINTR, &then) && then == end);
    REQUIRE(!find(end, 0, &then) && then == end);
    REQUIRE(!find(begin - 1, -EINTR, &then) && then == begin - 1);
    REQUIRE(!find(refused, -EINTR, &then) && then == refused);
}

// A guest that writes 0x1234 to an address without memory, and then counts in `counter`.
enum { counter = 0x800 };
#if defined(__aarch64__)
static const uint32_t guest[] = {0xd2a00021, 0x52824682, 0xb9000022, 0xd2810004,
                                 0xb9400083, 0x11000463, 0xb9000083, 0x17fffffd};
static const uint64_t device = 0x10000;
static int start(int vm, int vcpu) { return ckvm_init_vcpu(vm, vcpu); }
#else
static const uint8_t guest[] = "\xc7\x06\x00\x80\x34\x12\xff\x06\x00\x08\xeb\xfa";
static const uint64_t device = 0x8000;
static int start(int vm, int vcpu) {
    (void)vm;
    struct kvm_sregs special;
    int result = ckvm_get_sregs(vcpu, &special);
    special.cs.base = special.cs.selector = 0;
    if (result == 0) result = ckvm_set_sregs(vcpu, &special);
    struct kvm_regs registers = {.rip = 0, .rflags = 2};
    return result < 0 ? result : ckvm_set_regs(vcpu, &registers);
}
#endif

static struct preload_vm machine;
static volatile uint16_t *counted;
static atomic_int stops, refusals, interruptions;

static void *kick_often(void *argument) {
    (void)argument;
    while (!atomic_load(&stops)) {
        preload_hold(&machine);
        uint16_t before = *counted;
        usleep(50);
        REQUIRE(*counted == before);
        preload_release(&machine);
        usleep(200);
    }
    return 0;
}

// In the section by which the signal's handler knows the code that has a vCPU's state set.
__attribute__((section("preload_gated"), noinline, used)) static void test_vcpu(int kvm, int vm) {
    long page = sysconf(_SC_PAGESIZE);
    int vcpu = ckvm_create_vcpu(vm, 0);
    REQUIRE(vcpu >= 0);
    void *run;
    REQUIRE(ckvm_map(vcpu, (size_t)ckvm_get_vcpu_mmap_size(kvm), 0, &run) == 0);
    void *memory = mmap(0, (size_t)page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memcpy(memory, guest, sizeof guest);
    counted = (uint16_t *)((char *)memory + counter);
    struct kvm_userspace_memory_region region = {
        .memory_size = (uint64_t)page, .userspace_addr = (uintptr_t)memory};
    REQUIRE(ckvm_set_user_memory_region(vm, &region) == 0);
    REQUIRE(start(vm, vcpu) == 0);

    REQUIRE(preload_enter(vcpu, 0, &machine.closed) == 0);
    struct ckvm_mmio mmio = ckvm_mmio_exit(run);
    REQUIRE(ckvm_exit_reason(run) == KVM_EXIT_MMIO && mmio.is_write && mmio.address == device);
    REQUIRE((mmio.data & 0xffff) == 0x1234);

    preload_unblock_signal();
    struct preload_vcpu *own = &preload_vcpus[0];
    own->vm = &machine;
    own->is_used = preload_vcpu_end = 1;
    preload_current(own);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, 0, kick_often, 0) == 0);
    while (interruptions < 300) {
        own->is_ours = 0;
        __atomic_exchange_n(&own->state, (uint32_t)preload_thread(), __ATOMIC_SEQ_CST);
        int64_t result = preload_enter(vcpu, 0, &machine.closed);
        REQUIRE(result == PRELOAD_REFUSED || result == -EINTR);
        *(result == -EINTR ? &interruptions : &refusals) += 1;
        uint32_t state = __atomic_exchange_n(&own->state, 0, __ATOMIC_SEQ_CST);
        // As in preload_run.c: the signal that was sent arrives before anything else is done.
        while ((state & PRELOAD_KICKED) && !__atomic_load_n(&own->delivered, __ATOMIC_ACQUIRE))
            sched_yield();
        own->delivered = 0;
        REQUIRE(result != -EINTR || own->is_ours);
        if (result == PRELOAD_REFUSED) sched_yield();
    }
    atomic_store(&stops, 1);
    pthread_join(thread, 0);
    REQUIRE(*counted > 0);
    printf("gate: %d interruptions of a guest, %d refusals\n", interruptions, refusals);
}

int main(void) {
    static struct crun_header header;
    preload_header = &header;
    preload_process = getpid();
    preload_prepare_signal();
    test_handler();
    uint32_t closed = 1;
    REQUIRE(preload_enter(0, 0, &closed) == PRELOAD_REFUSED);
    closed = 0;
    // qemu-user refuses a request that it does not know before it looks at the descriptor.
    int64_t result = preload_enter(-1, 0, &closed);
    REQUIRE(result == -EBADF || result == -ENOTTY || result == -ENOSYS);
    // qemu-user opens the host's device, and refuses what is asked of it.
    int kvm = ckvm_open("/dev/kvm"), vm = kvm < 0 ? kvm : ckvm_create_vm(kvm, 0);
    if (vm >= 0) test_vcpu(kvm, vm);
    else printf("skipped: a guest that is kicked (no KVM: %s)\n", strerror(-vm));
}
