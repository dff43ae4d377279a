// What the files of the C part share.
#ifndef PRELOAD_H
#define PRELOAD_H

#include "CPreload.h"
#include <ckvm_definitions.h>
#include <creading_probes.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PRELOAD_EXPORT __attribute__((visibility("default")))
#define PRELOAD_OWN __attribute__((visibility("hidden")))
// A preloaded library's thread-local memory is allocated at start: no call is needed to find it.
#define PRELOAD_THREAD static __thread __attribute__((tls_model("initial-exec")))
#define PRELOAD_RARELY(condition) __builtin_expect(!!(condition), 0)
// In assembly: a symbol of the library's own, and the beginning of a function.
#define PRELOAD_LABEL(name) ".hidden " name "\n.globl " name "\n" name ":\n"
#define PRELOAD_FUNCTION(name) ".type " name ", %function\n" PRELOAD_LABEL(name)

// A pointer to the function of this name that comes after ours: a system call, until a constructor
// has looked for it, which takes more stack than a call may.
#define PRELOAD_REAL(name, type, parameters, ...)                                                  \
    static type early_##name parameters { return (type)syscall(__VA_ARGS__); }                     \
    PRELOAD_OWN type(*preload_real_##name) parameters = early_##name;
#define PRELOAD_FIND(name) preload_real_##name = preload_following(#name, early_##name)

#define PRELOAD_VMS 256
#define PRELOAD_VCPUS 8192
#define PRELOAD_REQUESTERS 64

// A thread with requested changes that are not committed.
struct preload_requester {
    int32_t thread;
    uint32_t runs_vcpus;
    uint64_t last;
    uint64_t processor_time;
};

struct preload_vm {
    // Not 0 while vCPUs are held. A futex; read at each entry.
    uint32_t closed;
    // Running calls that use guest memory and are not KVM_RUN.
    uint32_t users;
    uint32_t is_used;
    uint32_t references;
    int32_t descriptor;
    uint32_t number;
    // Whether the Swift part adopted it: its slot calls are deferred.
    uint32_t is_atomic;
    uint32_t is_pending;
    // The calls of the VMM and of the library since the last commit, and how long the library's took.
    uint32_t asked;
    uint32_t made;
    uint64_t applied;
    // The calls that are not applied yet. With CRUN_PASS the calls themselves; room for how many.
    uint32_t deferred;
    uint32_t room;
    struct crun_region *regions;
    // The slots by address space and id, as the VMM believes, or NULL; one past the last that is used.
    struct crun_region *slots;
    uint32_t slot_end;
    // Its array is to be recorded after the commit.
    uint32_t owes_array;
    // A hold exceeded its budget: later slot calls are made at once, and hold nothing.
    uint32_t passes;
    // Whether a part was applied before the commit.
    uint32_t is_begun;
    uint32_t requester_count;
    uint64_t held_since;
    // The first entry into the guest that the hold has withheld: a vCPU was inside, or has waited at
    // the gate since. 0 without one. A budget counts from here.
    uint64_t withheld_since;
    uint64_t released;
    // Of the hold: how long the kicks and the wait took, vCPUs inside, and those of them asleep.
    struct crun_hold hold;
    // The time of the newest request for a change, or of the commit's beginning; read without the lock.
    uint64_t last_request;
    // When to check next whether a commit would leave no hole.
    uint64_t next_check;
    struct preload_requester requesters[PRELOAD_REQUESTERS];
} __attribute__((aligned(64)));

struct preload_vcpu {
    // The thread that is inside KVM_RUN, with the bits below; or PRELOAD_LEAVING; or 0. A futex.
    uint32_t state;
    // Set by the signal's handler: it ran; it alone interrupted the guest.
    uint32_t delivered;
    uint32_t is_ours;
    uint32_t is_used;
    uint64_t entries;
    struct preload_vm *vm;
    uint32_t references;
    // KVM's statistics of the vCPU, or -1, and where its `blocking` is in them.
    int32_t statistics;
    uint64_t blocking;
} __attribute__((aligned(64)));

// It was sent a signal, or is about to be.
#define PRELOAD_KICKED 0x80000000u
// A hold found it asleep and counted its entry. It can't enter the guest before KVM_RUN returns.
#define PRELOAD_ASLEEP 0x40000000u
// It has left KVM_RUN and counts its entry; a hold waits for the end of that.
#define PRELOAD_LEAVING 0x20000000u
#define PRELOAD_AWAITED 0x10000000u
// A handler of the VMM's runs on its thread, out of the guest. The signal is pending until it returns.
#define PRELOAD_OUTSIDE 0x08000000u
#define PRELOAD_THREAD_BITS 0x07ffffffu

// preload_state.c
extern struct crun_header *preload_header;
extern uint32_t preload_is_atomic;
extern uint32_t preload_is_live;
// A program that was to run with --atomic and cannot: it gets no VM.
extern uint32_t preload_is_cut_off;
extern uint32_t preload_pending;
// Counts the begins and ends of slot calls: odd while the kernel executes one.
extern uint64_t preload_slot_changes;
extern struct preload_vm preload_vms[PRELOAD_VMS];
extern struct preload_vcpu preload_vcpus[PRELOAD_VCPUS];
// One past the highest index of a vCPU that was ever used.
extern uint32_t preload_vcpu_end;
extern PRELOAD_OWN int (*preload_real_ioctl)(int, unsigned long, void *);
extern PRELOAD_OWN int (*preload_real_close)(int);
extern PRELOAD_OWN int (*preload_real_fcntl)(int, int, void *);
// The process that this state belongs to.
extern int32_t preload_process;
int32_t preload_thread(void);
uint64_t preload_now(void);
// The C library's function that ours replaces; `early` where there is none. In a constructor alone.
void *preload_following(const char *name, void *early);
// Copies to memory of the VMM, which may be unmapped. Returns 0 or minus errno.
int preload_write(void *to, const void *from, size_t size);

// preload_stack.c

// What a job is about: a call of the VMM's.
struct preload_call {
    struct preload_vm *vm;
    int descriptor;
    // Why deferred calls are committed before it.
    uint32_t why;
    unsigned long request;
    void *argument;
};
// Runs with the lock held. Returns a value of its own, minus errno, or one of these.
typedef int64_t preload_job(const struct preload_call *call);
// The job runs again after the next commit: another thread has deferred calls.
#define PRELOAD_AGAIN (-100001)
// The call is passed to the kernel as it is.
#define PRELOAD_PASS (-100002)
// Runs a job with the lock held and every signal blocked, on the library's stack. `errno` stays.
int64_t preload_locked(preload_job *job, const struct preload_call *call);
// Without the lock. Also for the child that was forked with the lock held.
int64_t preload_on_stack(preload_job *job, const struct preload_call *call);
// Whether the calling thread runs a job: its calls pass to the kernel unchanged.
int preload_passes_through(void);
int preload_make_stack(void);
void preload_lock(void);
void preload_unlock(void);
void preload_announce_commit(void);
// Sets errno as a system call's wrapper does.
static inline int preload_result(int64_t result) {
    if (result >= 0) return (int)result;
    errno = (int)-result;
    return -1;
}

// preload_descriptors.c
enum preload_kind {
    PRELOAD_NONE,
    PRELOAD_VM,
    PRELOAD_VCPU,
    PRELOAD_DEVICE,
    PRELOAD_FILE,
    // The library's own, of a vCPU.
    PRELOAD_STATISTICS
};
#define PRELOAD_DESCRIPTORS (1u << 20)
extern uint32_t preload_descriptors[PRELOAD_DESCRIPTORS];
static inline uint32_t preload_entry(int descriptor) {
    if ((uint32_t)descriptor >= PRELOAD_DESCRIPTORS) return 0;
    return __atomic_load_n(&preload_descriptors[descriptor], __ATOMIC_RELAXED);
}
static inline enum preload_kind preload_kind(uint32_t entry) {
    return (enum preload_kind)(entry >> 24);
}
static inline uint32_t preload_index(uint32_t entry) { return entry & 0xffffff; }
struct preload_vm *preload_vm_numbered(uint32_t number);
void preload_set_entry(int descriptor, enum preload_kind kind, uint32_t index);
preload_job preload_add_vm, preload_add_vcpu, preload_add_device;
// In a job.
void preload_adopt_descriptor(struct preload_vm *vm, enum preload_kind kind, int descriptor);
void preload_add_copy(int descriptor, int copy);
void preload_remove_descriptor(int descriptor);
void preload_remove_descriptors(unsigned first, unsigned last);
void preload_clear_descriptors(void);
struct preload_vm *preload_vm_of(uint32_t entry);

// preload_record.c
struct crun_record *preload_begin_record(struct preload_vm *vm);
void preload_end_record(struct crun_record *record, uint32_t kind);
void preload_finish_record(struct crun_record *record, uint32_t kind);
void preload_end_asked(struct preload_vm *vm, struct crun_record *record);
void preload_record_event(struct preload_vm *vm, uint32_t kind);
void preload_make_array(struct preload_vm *vm);
void preload_free_array(struct preload_vm *vm);
void preload_record_arrays(struct preload_vm *vm);
int preload_slot_call(const struct preload_call *call);
int preload_decode_region(struct crun_region *region, unsigned long request, const void *argument);

// preload_memory.c
void preload_use_memory(const struct crun_region *region);
void preload_after_change(const void *address, size_t size, uint32_t access);
// KVM_RUN returned EFAULT.
preload_job preload_record_fault;

// preload_run.c
int preload_run(struct preload_vcpu *vcpu, int descriptor, void *argument);
int preload_run_gated(struct preload_vcpu *vcpu, int descriptor, void *argument);
// How often the calling thread entered KVM_RUN.
uint64_t preload_runs(void);
// Makes the calling thread record its next entry, because it made a slot call.
void preload_record_next_entry(void);

// preload_gate.c
void preload_prepare_signal(void);
void preload_unblock_signal(void);
int preload_signal(void);
int64_t preload_enter(int descriptor, void *argument, const uint32_t *closed);
#define PRELOAD_REFUSED (-100000)
struct preload_vcpu *preload_current(struct preload_vcpu *vcpu);
void preload_begin_outside(void);
void preload_end_outside(uint64_t mask);
int preload_wait_open(struct preload_vm *vm);
void preload_hold(struct preload_vm *vm);
int preload_is_past_budget(const struct preload_vm *vm);
void preload_release(struct preload_vm *vm);
void preload_begin_use(struct preload_vm *vm);
void preload_end_use(struct preload_vm *vm);

// preload_statistics.c
void preload_open_statistics(struct preload_vcpu *vcpu, int descriptor);
int preload_is_blocking(const struct preload_vcpu *vcpu);

// preload_transaction.c
// By VM: threads whose next call waits for the lock, or has it. Not in the VM, which may be closed
// meanwhile.
extern uint32_t preload_arriving[PRELOAD_VMS];
int preload_request(const struct preload_call *call);
void preload_settle(struct preload_vm *vm, uint32_t why);
// In a job. Returns 0, or PRELOAD_AGAIN.
int64_t preload_try_settle(struct preload_vm *vm, uint32_t why);
void preload_settle_own(uint32_t why);
void preload_settle_all(uint32_t why);
void preload_commit(struct preload_vm *vm, uint32_t why);
// Ends a hold that exceeds its budget.
void preload_limit_hold(struct preload_vm *vm);
void preload_before_unmapping(const void *address, size_t size);

// preload_calls.c
int preload_atomic_call(const struct preload_call *call);

// preload_quiet.c
void preload_start_watch(void);
void preload_reset_watch(void);
void preload_wake_watch(void);
uint64_t preload_processor_time(int32_t thread);

#endif
