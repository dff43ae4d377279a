// The C part's own parts.
#ifndef PRELOAD_H
#define PRELOAD_H

#include "CPreload.h"
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PRELOAD_EXPORT __attribute__((visibility("default")))
// A preloaded library has its thread-local memory from the start: no call to find it.
#define PRELOAD_THREAD static __thread __attribute__((tls_model("initial-exec")))
#define PRELOAD_RARELY(condition) __builtin_expect(!!(condition), 0)

#ifndef KVM_SET_USER_MEMORY_REGION2
struct preload_region2 {
    uint32_t slot, flags;
    uint64_t guest_phys_addr, memory_size, userspace_addr, guest_memfd_offset;
    uint32_t guest_memfd, pad1;
    uint64_t pad2[14];
};
#define KVM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct preload_region2)
#else
#define preload_region2 kvm_userspace_memory_region2
#endif
#ifndef KVM_CREATE_GUEST_MEMFD
struct preload_guest_memfd {
    uint64_t size, flags, reserved[6];
};
#define KVM_CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct preload_guest_memfd)
#else
#define preload_guest_memfd kvm_create_guest_memfd
#endif

#define PRELOAD_VMS 256
#define PRELOAD_VCPUS 8192
#define PRELOAD_ASKERS 8

// A thread that asked for changes which are not committed.
struct preload_asker {
    int32_t thread;
    uint32_t runs_vcpus;
    uint64_t last;
    uint64_t processor_time;
};

struct preload_vm {
    // Not 0 while vCPUs are held out. A futex; read at each entry.
    uint32_t closed;
    // Calls under way that look at guest memory and are not KVM_RUN.
    uint32_t users;
    uint32_t is_used;
    uint32_t references;
    int32_t descriptor;
    uint32_t number;
    // Whether the Swift part has it: its calls are deferred.
    uint32_t is_atomic;
    uint32_t is_pending;
    // Calls that were asked and made since the last commit, and how long the making took.
    uint32_t asked;
    uint32_t made;
    uint64_t applied;
    // Whether some of it had to be made before the commit.
    uint32_t is_begun;
    uint32_t asker_count;
    uint64_t held_since;
    // When it is next asked whether a commit now would leave no hole.
    uint64_t next_check;
    struct preload_asker askers[PRELOAD_ASKERS];
} __attribute__((aligned(64)));

struct preload_vcpu {
    // The thread that is inside KVM_RUN, or 0; with PRELOAD_KICKED where it was sent a signal.
    uint32_t state;
    // Set by the signal's handler: it came; it came while the guest ran, and nothing else did.
    uint32_t delivered;
    uint32_t is_ours;
    uint32_t is_used;
    uint64_t entries;
    struct preload_vm *vm;
    uint32_t references;
} __attribute__((aligned(64)));

#define PRELOAD_KICKED 0x80000000u

// preload_state.c
extern struct crun_header *preload_header;
extern uint32_t preload_is_atomic;
extern uint32_t preload_is_live;
extern uint32_t preload_pending;
extern struct preload_vm preload_vms[PRELOAD_VMS];
extern struct preload_vcpu preload_vcpus[PRELOAD_VCPUS];
// One past the highest vCPU that was ever in use.
extern uint32_t preload_vcpu_end;
extern int (*preload_real_ioctl)(int, unsigned long, ...);
extern int (*preload_real_close)(int);
extern int (*preload_real_fcntl)(int, int, ...);
void preload_resolve(void);
int preload_passes_through(void);
void preload_set_pass_through(int passes);
int32_t preload_thread(void);
uint64_t preload_now(void);
void preload_say(const char *text);
// One lock for all that is slow, taken with signals blocked.
void preload_lock(sigset_t *saved);
void preload_unlock(const sigset_t *saved);
extern pthread_mutex_t preload_mutex;
extern pthread_cond_t preload_committed;

// preload_descriptors.c
enum preload_kind { PRELOAD_NONE, PRELOAD_VM, PRELOAD_VCPU, PRELOAD_DEVICE, PRELOAD_FILE };
#define PRELOAD_DESCRIPTORS (1u << 20)
extern uint32_t preload_descriptors[PRELOAD_DESCRIPTORS];
static inline uint32_t preload_entry(int descriptor) {
    if ((uint32_t)descriptor >= PRELOAD_DESCRIPTORS) return 0;
    return __atomic_load_n(&preload_descriptors[descriptor], __ATOMIC_RELAXED);
}
static inline enum preload_kind preload_kind(uint32_t entry) {
    return (enum preload_kind)(entry >> 24);
}
static inline uint32_t preload_index(uint32_t entry) {
    return entry & 0xffffff;
}
struct preload_vm *preload_vm_numbered(uint32_t number);
void preload_note_vm(int descriptor);
void preload_note_vcpu(struct preload_vm *vm, int descriptor);
void preload_note_other(struct preload_vm *vm, enum preload_kind kind, int descriptor);
void preload_note_copy(int descriptor, int copy);
void preload_note_closing(int descriptor);
void preload_note_closing_range(unsigned first, unsigned last);
void preload_forget_descriptors(void);
struct preload_vm *preload_vm_of(uint32_t entry);

// preload_record.c
struct crun_record *preload_begin_record(struct preload_vm *vm);
void preload_end_record(struct crun_record *record, uint32_t kind);
void preload_set_words(struct crun_record *record, const struct cpreload_region *region);
void preload_note(struct preload_vm *vm, uint32_t kind);
int preload_slot_call(struct preload_vm *vm, int descriptor, unsigned long request, void *argument);
int preload_words(struct cpreload_region *region, unsigned long request, const void *argument);

// preload_run.c
int preload_run(struct preload_vcpu *vcpu, int descriptor, void *argument);
int preload_run_gated(struct preload_vcpu *vcpu, int descriptor, void *argument);
uint64_t preload_runs(void);
void preload_count_run(void);
// The calling thread has made a slot call: its next entry is told.
void preload_tell_entry(void);

// preload_gate.c
void preload_prepare_signal(void);
void preload_accept_signal(void);
int preload_signal(void);
int64_t preload_enter(int descriptor, void *argument, const uint32_t *closed);
#define PRELOAD_REFUSED (-100000)
struct preload_vcpu *preload_current(struct preload_vcpu *vcpu);
int preload_wait_open(struct preload_vm *vm);
void preload_hold(struct preload_vm *vm);
void preload_release(struct preload_vm *vm);
void preload_begin_use(struct preload_vm *vm);
void preload_end_use(struct preload_vm *vm);

// preload_atomic.c
int preload_ask(struct preload_vm *vm, int descriptor, unsigned long request, void *argument);
void preload_settle(struct preload_vm *vm, uint32_t why);
void preload_settle_mine(uint32_t why);
void preload_commit(struct preload_vm *vm, uint32_t why);
int preload_atomic_call(
    struct preload_vm *vm, int descriptor, unsigned long request, void *argument);
void preload_before_unmapping(const void *address, size_t size);

// preload_calls.c
int preload_is_harmless(uint32_t request);

// preload_quiet.c
void preload_start_watch(void);
void preload_forget_watch(void);
void preload_wake_watch(void);
uint64_t preload_processor_time(int32_t thread);
extern uint32_t preload_arriving;

#endif
