/*
 * memslots.h: guest memory of a KVM virtual machine, changed as a whole.
 *
 * A table is the memory of one VM. memslots_submit() takes the complete array of slots that the
 * VM is to have, computes the difference, and applies it while vCPUs are held out of the guest.
 * Afterwards the VM has exactly that array or exactly the previous one, and the return value says
 * which.
 *
 * In short: memslots_open_kvm(), memslots_vcpu_open() for each vCPU, memslots_submit() for every
 * change, memslots_vcpu_run() in place of ioctl(KVM_RUN), a reader for each thread that translates.
 * Sources/Examples/c/vmm.c is a complete VMM. Link with `pkg-config --cflags --libs memslots`.
 *
 * RULES FOR ALL FUNCTIONS
 *
 * Units. Addresses and sizes are in bytes; those of slots are multiples of the page: 4096 bytes on
 * x86-64 and on the simulator, on arm64 that of the host. Times are nanoseconds of the monotonic
 * clock unless a name says milliseconds.
 *
 * Return values. MEMSLOTS_OK (0) and positive codes mean success. A negative code is an error:
 * the function had no effect. memslots_error_message() then returns a sentence for the calling
 * thread, and the functions beside it return more. Codes keep their numbers.
 *
 * Handles are numbers, not pointers. Any thread may use any handle at any time. A handle that is
 * zero, unknown or closed gives MEMSLOTS_BAD_HANDLE. If a handle is closed while another thread is
 * inside a call on it, that call ends normally; the close does not wait for it. What belongs to a
 * table (readers, vCPUs, hooks) keeps the table until it is closed too.
 *
 * Pointers belong to the caller. A function uses them only until it returns. Callbacks and their
 * contexts are the exception; their comments say how long they are used. NULL for a required
 * pointer gives MEMSLOTS_BAD_ARGUMENT. A pointer that is neither NULL nor valid is not detected.
 *
 * Structures that begin with struct_size: the caller sets it to the structure's sizeof, so that
 * later versions can add members at the end. MEMSLOTS_INIT sets it and zeroes the rest. Zero is
 * the default of each member.
 *
 * Lists. A function that fills a list receives the list's capacity. It fills as many entries as
 * fit, and stores the number of all entries in *count. If some do not fit it returns
 * MEMSLOTS_TOO_SMALL. To get the count alone, pass NULL and a capacity of 0; the function returns
 * MEMSLOTS_TOO_SMALL unless the count is 0.
 *
 * Strings are UTF-8 and end in a zero byte.
 *
 * Threads. Any thread may call any function. A reader's view and a receipt are for one thread at
 * a time. Inside a hook, an observer, a view, or a function that runs in the vCPU gate, a call
 * that would deadlock returns MEMSLOTS_REENTRANT.
 *
 * Processes. KVM accepts memory changes only from the process that created the VM. After fork()
 * the child must not use the parent's handles.
 */
#ifndef MEMSLOTS_H
#define MEMSLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. It changes when programs must be recompiled. Every program that
 * includes this header refers to the symbol of its version, so the linker and the loader reject a
 * library of another version. */
#define MEMSLOTS_ABI 1
uint32_t memslots_abi_1(void);
#if defined(__GNUC__) && !defined(MEMSLOTS_NO_ABI_REFERENCE)
static uint32_t (*const memslots_abi_of_this_program)(void) __attribute__((used)) = memslots_abi_1;
#endif

/* A structure of `type` with its size set and everything else zero. */
#ifdef __cplusplus
#define MEMSLOTS_INIT(type) ([] { type zero{}; zero.struct_size = sizeof(type); return zero; }())
#else
#define MEMSLOTS_INIT(type) ((type){.struct_size = sizeof(type)})
#endif

/* ---- Return codes ----------------------------------------------------------------------- */

enum {
    MEMSLOTS_OK = 0,
    MEMSLOTS_INTERRUPTED = 1,  /* memslots_vcpu_run(): a signal, kick or transaction (EINTR). */
    MEMSLOTS_NOT_READY = 2,  /* memslots_vcpu_run(): another vCPU must start it (EAGAIN). */

    MEMSLOTS_INVALID_ARRAY = -1,  /* The array is invalid: memslots_error_violations(). */
    MEMSLOTS_CONFLICT = -2,  /* Not the expected generation. Submit against that of the table. */
    MEMSLOTS_REJECTED = -3,  /* A hook vetoed the transaction; the message contains its reason. */
    MEMSLOTS_QUIESCE_TIMEOUT = -4,  /* A vCPU or reader was inside too long: the message has it. */
    MEMSLOTS_ROLLED_BACK = -5,  /* A kernel call failed, and is undone: memslots_error_errno(). */
    MEMSLOTS_FAILED = -6,  /* The undo failed too, and vCPUs are held: memslots_recover(). */
    MEMSLOTS_REENTRANT = -7,  /* Inside a callback of the same table; waiting would deadlock. */
    MEMSLOTS_BAD_HANDLE = -8,  /* A handle that is zero, unknown, closed, or of another kind. */
    MEMSLOTS_BAD_ARGUMENT = -9,  /* NULL where required, wrong struct_size, number out of range. */
    MEMSLOTS_NO_SUCH_SLOT = -10,  /* The slot does not exist, or it does not log. */
    MEMSLOTS_NOT_MAPPED = -11,  /* An address that no slot maps. */
    MEMSLOTS_TOO_SMALL = -12,  /* The list has more entries than the capacity. */
    MEMSLOTS_SYSTEM = -13,  /* A system call failed: memslots_error_errno(). */
    MEMSLOTS_NOT_SUPPORTED = -14,  /* Not available for this kind of table, or in this kernel. */
    MEMSLOTS_NOT_INSIDE = -15,  /* The view was left, or its reader was entered twice. */
    MEMSLOTS_TOO_MANY_HANDLES = -16,  /* The process has no free handle (limit: 1,048,575). */
    MEMSLOTS_READ_ONLY = -17,  /* The slot is read-only. */
    MEMSLOTS_BACK_END = -18  /* A vhost-user back end refused, failed or was lost: the message. */
};

/* The name of a code, such as "generation-conflict", or "unknown". Valid for ever. */
const char *memslots_code_name(int32_t code);

/* ---- The last error of the calling thread ------------------------------------------------ */

/* A rule that a submitted array violates. */
typedef struct memslots_violation {
    int64_t index;  /* The slot's position in the array; -1 if the whole array is at fault. */
    int64_t other_index;  /* The position of the other slot involved; -1 if there is none. */
    uint32_t slot;  /* The slot's id; MEMSLOTS_ANY_SLOT if it has none. */
    uint32_t address_space;
    int32_t kernel_errno;  /* The errno that KVM would return; 0 if KVM does not check this rule. */
    uint32_t reserved;
    char kind[32];  /* The rule's stable name, such as "overlap"; Docs/Protocol.md lists them. */
    char path[64];  /* The member of memslots_slot at fault, such as "slots[3].size". */
    char message[256];  /* A sentence, truncated to fit. */
} memslots_violation;

/* A sentence that describes the calling thread's last error; "" if there was none. Valid until the
 * thread's next error. */
const char *memslots_error_message(void);

/* The kernel's errno that caused the last error; 0 if there is none. */
int32_t memslots_error_errno(void);

/* The violations behind the thread's last error, in array order, if that error was
 * MEMSLOTS_INVALID_ARRAY. At most 1,024 are kept. */
int32_t memslots_error_violations(memslots_violation *list, size_t capacity, size_t *count);

/* ---- Slots ------------------------------------------------------------------------------- */

/* As an id in a submitted array: the table chooses one. */
#define MEMSLOTS_ANY_SLOT UINT32_MAX

/* Flags of a slot: the kernel's KVM_MEM_* flags. */
enum {
    MEMSLOTS_LOG_DIRTY_PAGES = 1u << 0,
    MEMSLOTS_READONLY = 1u << 1,
    MEMSLOTS_GUEST_MEMFD = 1u << 2
};

/* One range of guest memory. */
typedef struct memslots_slot {
    uint32_t slot;  /* The id: 0 to max_slots - 1, or MEMSLOTS_ANY_SLOT. */
    uint32_t address_space;  /* Almost always 0. */
    uint64_t guest_physical_address, size;
    /* The address of its memory in this process. Keep it mapped while the table has the slot. */
    uint64_t userspace_address;
    uint32_t flags;
    /* The caller's number for the memory object behind the slot, which identifies its pages
     * wherever they are mapped; 0: none. */
    uint32_t memory_object;
    uint64_t memory_offset;  /* The slot's offset in the memory object. */
    /* The slot's offset in guest_memfd. With MEMSLOTS_GUEST_MEMFD only. */
    uint64_t guest_memfd_offset;
    int32_t guest_memfd;
    uint32_t reserved;
} memslots_slot;

/* ---- Tables ------------------------------------------------------------------------------ */

/* The memory of one VM. */
typedef struct memslots_table { uint64_t value; } memslots_table;

/* A simulated VM, for tests. It has KVM's rules, order of checks and errno. */
typedef struct memslots_simulator_options {
    size_t struct_size;
    uint32_t max_slots;  /* 1 to 1,048,576; 0: 32,764. */
    uint32_t address_spaces;  /* 1 to 65,536; 0: 1. */
    uint32_t guest_physical_bits;  /* 12 to 64; 0: 52. */
    uint32_t flags;  /* Flags that slots may have; 0: log-dirty-pages and readonly. */
} memslots_simulator_options;

/* How the VM keeps its dirty log. KVM has no call that returns this. */
enum {
    MEMSLOTS_DIRTY_LOG_CLEARED_BY_READING = 0,  /* Reading clears: the default of every VM. */
    MEMSLOTS_DIRTY_LOG_MANUAL = 1,  /* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 with 1. */
    MEMSLOTS_DIRTY_LOG_MANUAL_INITIALLY_SET = 2,  /* The same with 3. */
    MEMSLOTS_DIRTY_LOG_RING = 3  /* KVM_CAP_DIRTY_LOG_RING with dirty_ring_bytes. */
};

/* A range of guest memory. */
typedef struct memslots_range {
    uint64_t guest_physical_address, size;
} memslots_range;

/* A VM that the caller created. */
typedef struct memslots_kvm_options {
    size_t struct_size;
    /* The slots that the VM already has; they are checked against the kernel. NULL: none. */
    const memslots_slot *installed;
    size_t installed_count;
    /* One of MEMSLOTS_DIRTY_LOG_*, which the caller has already enabled. A manual one is enabled
     * again. Rings that the VM does not have are refused here, those of another size by
     * memslots_vcpu_open(), both with MEMSLOTS_BAD_ARGUMENT. */
    uint32_t dirty_log;
    uint32_t dirty_ring_bytes;
    /* A deletion drops only its own mappings (disables KVM_X86_QUIRK_SLOT_ZAP_ALL), if the kernel
     * supports it. It stays disabled for the life of the VM. */
    bool keeps_other_mappings;
    /* The ranges that the VM already has private (KVM_SET_MEMORY_ATTRIBUTES). No call of KVM's returns
     * them: what is missing here stays private until a submit names it. NULL: none. */
    size_t private_range_count;
    const memslots_range *private_ranges;
} memslots_kvm_options;

/* Opens a table on a simulated VM. `options` may be NULL. */
int32_t memslots_open_simulator(const memslots_simulator_options *options, memslots_table *table);

/* Opens a table on a VM of this process (KVM_CREATE_VM). `options` may be NULL. The caller keeps
 * the descriptor, and closes it after the table. Until then no other code may call
 * KVM_SET_USER_MEMORY_REGION on the VM. Run every vCPU with memslots_vcpu_run() or inside
 * memslots_guarded(); a vCPU that calls KVM_RUN directly is not held out. */
int32_t memslots_open_kvm(
    int vm_descriptor, const memslots_kvm_options *options, memslots_table *table);

/* Closes a table. The VM keeps its slots. Calls of other threads on the table end normally. */
int32_t memslots_close(memslots_table table);

/* The limits that arrays are validated against. */
typedef struct memslots_capabilities {
    size_t struct_size;
    uint32_t max_slots, address_spaces;
    uint64_t max_guest_page;  /* The largest guest page number. */
    uint64_t max_pages_per_slot;
    uint32_t flags;  /* Flags that slots may have. */
    bool memory_attributes;  /* Whether guest ranges can be private. */
} memslots_capabilities;

/* The limits of the table's VM. */
int32_t memslots_get_capabilities(memslots_table table, memslots_capabilities *capabilities);

/* ---- Transactions ------------------------------------------------------------------------ */

/* Options of a transaction. */
typedef struct memslots_submit_options {
    size_t struct_size;
    /* Commit only if this is the current generation. Used if has_expected_generation is set. */
    uint64_t expected_generation;
    bool has_expected_generation;
    /* Hold vCPUs out for every change; otherwise only if the plan needs it. On x86-64 (Linux 5.13) one
     * deletion alone of a slot that does not log does not, nor do additions alone. */
    bool always_quiesce;
    /* How long to wait for vCPUs and readers to leave; 0: 1,000. The wait for submits of other threads
     * comes before, and has no limit. */
    uint32_t quiesce_deadline_milliseconds;
    /* Hold vCPUs out only so that none ever misses a page that both arrays map and no dirty bit is
     * lost; other pages come and go in any order, also additions of a submit that fails. Not with
     * always_quiesce. */
    bool continuity;
    /* Make exactly the ranges of `private_ranges` private, and all other memory shared, at the same
     * instant (KVM_SET_MEMORY_ATTRIBUTES); otherwise nothing changes. Only with `memory_attributes` of
     * the capabilities. The `path` and `index` of a violation may be of this list. */
    bool sets_private_ranges;
    size_t private_range_count;
    const memslots_range *private_ranges;
} memslots_submit_options;

enum { MEMSLOTS_COMMITTED = 0, MEMSLOTS_UNCHANGED = 1 };

/* What a transaction did. A filled receipt owns memory: call memslots_receipt_release() on it
 * before you pass it to another submit, and at the end. An error leaves it unchanged. The
 * memslots_receipt_* functions return more details. It has no changes of private ranges. */
typedef struct memslots_receipt {
    size_t struct_size;
    uint64_t generation;  /* The generation after the submit. */
    uint32_t outcome;  /* MEMSLOTS_COMMITTED or MEMSLOTS_UNCHANGED. */
    /* Numbers of slots by kind of change. A replaced slot counts as removed and as added. */
    uint32_t added, removed, moved, reflagged;
    uint32_t operations;  /* The number of operations. */
    /* Runs of dirty pages that no logging slot of the new array maps. */
    uint32_t unmapped_dirty_runs;
    uint32_t warnings;
    uint32_t readers;  /* Readers that still use the previous array. */
    bool quiesced;  /* Whether vCPUs were held out. */
    bool retired;  /* Whether no reader uses the previous array. Do not unmap its memory before. */
    bool is_optimal;  /* Whether it is proved that no plan has fewer operations. */
    uint64_t blackout_nanoseconds, total_nanoseconds;
    uint64_t details;  /* Used by the library. */
} memslots_receipt;

/*
 * Replaces the VM's memory by the `count` slots of `slots`, in one transaction.
 *
 * Blocks until the transaction has ended. `slots` is the complete array, in any order; a slot that
 * is not in it is removed from the guest. `options` and `receipt` may be NULL. Submits of several
 * threads run one after another.
 *
 * MEMSLOTS_OK: the VM has the array; receipt->outcome says whether it had it before. After any
 * error the VM has the previous array. MEMSLOTS_FAILED is the exception: recover the table.
 */
int32_t memslots_submit(
    memslots_table table, const memslots_slot *slots, size_t count,
    const memslots_submit_options *options, memslots_receipt *receipt);

/* Fills the receipt that memslots_submit() would return, and changes nothing. */
int32_t memslots_plan(
    memslots_table table, const memslots_slot *slots, size_t count,
    const memslots_submit_options *options, memslots_receipt *receipt);

enum { MEMSLOTS_CREATE = 0, MEMSLOTS_DELETE = 1, MEMSLOTS_MOVE = 2, MEMSLOTS_REFLAG = 3 };

/* One operation. `after` has a size of 0 for a deletion, `before` for a creation. */
typedef struct memslots_operation {
    uint32_t call, reserved;
    memslots_slot before, after;
} memslots_operation;

/* A run of dirty pages, counted from the first page of `slot`, a slot of the previous array. */
typedef struct memslots_dirty_run {
    memslots_slot slot;
    uint64_t first_page, page_count;
} memslots_dirty_run;

/* The operations, in the order in which they were applied. */
int32_t memslots_receipt_operations(
    const memslots_receipt *receipt, memslots_operation *list, size_t capacity, size_t *count);

/* The submitted slots with their ids, in the order submitted. */
int32_t memslots_receipt_slots(
    const memslots_receipt *receipt, memslots_slot *list, size_t capacity, size_t *count);

/* Dirty pages that no logging slot maps any more. They are not reported again. */
int32_t memslots_receipt_dirty_runs(
    const memslots_receipt *receipt, memslots_dirty_run *list, size_t capacity, size_t *count);

/* Warning number `index`, from 0 to receipt->warnings - 1; NULL past the end. Valid until the
 * receipt is released. */
const char *memslots_receipt_warning(const memslots_receipt *receipt, size_t index);

/* The name of a reader that still uses the previous array; like memslots_receipt_warning(). */
const char *memslots_receipt_reader(const memslots_receipt *receipt, size_t index);

/* Why vCPUs were held, or would be: "overlap", "log-ends", "several-visible-changes", "hook" or
 * "asked", the first that applies; NULL if they were not. Valid until the receipt is released. */
const char *memslots_receipt_hold_reason(const memslots_receipt *receipt);

/* Frees the memory of a filled receipt. No effect on an empty receipt and on NULL. */
void memslots_receipt_release(memslots_receipt *receipt);

/* The current slots, ascending by address space and id. `generation` may be NULL. */
int32_t memslots_get(
    memslots_table table, memslots_slot *list, size_t capacity, size_t *count,
    uint64_t *generation);

/* The private ranges, ascending and merged, with their generation like memslots_get(). */
int32_t memslots_get_private_ranges(
    memslots_table table, memslots_range *list, size_t capacity, size_t *count,
    uint64_t *generation);

/* The slots that are really installed, after MEMSLOTS_FAILED. Returns MEMSLOTS_NOT_SUPPORTED if the
 * table has not failed. */
int32_t memslots_failure(
    memslots_table table, memslots_slot *list, size_t capacity, size_t *count);

/* Retries the undo of a failed table. No effect if the table has not failed. */
int32_t memslots_recover(memslots_table table);

/* Lets vCPUs enter the guest of a failed table, with the slots that are installed. Until then, or
 * until memslots_recover() succeeds, memslots_vcpu_run() and memslots_guarded() wait. */
int32_t memslots_release_vcpus(memslots_table table);

/* ---- Dirty log --------------------------------------------------------------------------- */

/* Reads which pages of a slot the guest has written: the kernel's bits and the bits that were
 * carried from earlier slots. `first_page` is a multiple of 64; a `page_count` of 0 means up to the
 * slot's end. `bitmap` receives one bit for each page, the first in the lowest bit of the first
 * word. It has `words` words, at least (page_count + 63) / 64. With `clear` exactly the returned
 * bits are cleared. `dirty_pages`, which may be NULL, receives the number of dirty pages. Returns
 * MEMSLOTS_NO_SUCH_SLOT also if the slot does not log. Returns MEMSLOTS_TOO_SMALL, and clears
 * nothing, if `words` is too small. */
int32_t memslots_dirty_log(
    memslots_table table, uint32_t address_space, uint32_t slot, uint64_t first_page,
    uint64_t page_count, bool clear, uint64_t *bitmap, size_t words, uint64_t *dirty_pages);

/* ---- Reading ----------------------------------------------------------------------------- */

/* Guest memory that is contiguous in this process. */
typedef struct memslots_span {
    uint64_t guest_physical_address, size;
    void *address;
    uint32_t slot;
    uint32_t flags;  /* The slot's flags. Do not write to a slot with MEMSLOTS_READONLY. */
} memslots_span;

/* Translates one guest physical address. `span` reaches from the address to the end of its slot. A
 * submit may change the table right after the call: to use the memory, enter a reader instead.
 * Returns MEMSLOTS_NOT_MAPPED if no slot maps the address, or the address space does not exist. */
int32_t memslots_translate(
    memslots_table table, uint32_t address_space, uint64_t guest_physical_address,
    memslots_span *span);

/* A reader, one for each thread that translates. Entering it takes nanoseconds and never waits. */
typedef struct memslots_reader { uint64_t value; } memslots_reader;

/* The array that a reader has entered. Only the thread that entered uses it, until it leaves. */
typedef struct memslots_view {
    uint64_t reader, ticket;
    uint64_t generation;  /* The array's generation. */
    const void *array;
} memslots_view;

/* Registers a reader. Receipts and errors contain its `name` if a submit waits for it. */
int32_t memslots_reader_open(memslots_table table, const char *name, memslots_reader *reader);

/* Closes a reader; one that is inside, as soon as it leaves. */
int32_t memslots_reader_close(memslots_reader reader);

/* Enters the current array. The array, and the memory of its slots, do not change until
 * memslots_reader_leave(). A submit in between commits, and then waits for the reader up to its
 * deadline. If the reader is still inside, the receipt's `retired` is false. */
int32_t memslots_reader_enter(memslots_reader reader, memslots_view *view);

/* Leaves. The view, and every address obtained from it, must not be used afterwards. */
int32_t memslots_reader_leave(memslots_view *view);

/* Translates a range, which may span several adjacent slots. `list` receives one span for each
 * slot, in order. If a part of the range is not mapped, the function returns MEMSLOTS_NOT_MAPPED
 * and stores the first unmapped address in list[0].guest_physical_address. A `size` of 0 gives no
 * span. */
int32_t memslots_view_translate(
    const memslots_view *view, uint32_t address_space, uint64_t guest_physical_address,
    uint64_t size, memslots_span *list, size_t capacity, size_t *count);

/* Translates several ranges, such as a virtio descriptor chain. `list` receives the spans of all
 * ranges in order; the spans of a range add up to its size. Returns MEMSLOTS_NOT_MAPPED as
 * memslots_view_translate() does, and stores the index of the first unmapped range in *count; the
 * rest of the list is then undefined. */
int32_t memslots_view_translate_bulk(
    const memslots_view *view, uint32_t address_space, const memslots_range *ranges,
    size_t range_count, memslots_span *list, size_t capacity, size_t *count);

/* ---- vCPUs ------------------------------------------------------------------------------- */

/* A vCPU that runs its guest inside the table's gate. It never sees a partial change. */
typedef struct memslots_vcpu { uint64_t value; } memslots_vcpu;

/* The requests that memslots_vcpu_run() stores: who asked the vCPU to leave. */
enum { MEMSLOTS_KICK_TRANSACTION = 1u << 0, MEMSLOTS_KICK_EMBEDDER = 1u << 1 };

/* A vCPU that the caller created with KVM_CREATE_VCPU. */
typedef struct memslots_vcpu_options {
    size_t struct_size;
    /* Its descriptor. The caller keeps it and `kvm_run`, and releases neither before the vCPU's
     * handle is closed and no thread is inside memslots_vcpu_run(). */
    int descriptor;
    uint32_t id;
    void *kvm_run;  /* Its mapped struct kvm_run. */
    const char *name;  /* The name in errors; NULL: its id. */
    /* The signal that makes it leave; 0: the first real-time signal. The library installs an empty
     * handler if the signal has none. */
    int32_t kick_signal;
} memslots_vcpu_options;

/* Registers a vCPU with the gate of its table, which is on KVM. MEMSLOTS_BAD_ARGUMENT if the
 * descriptor is of no vCPU, or of one that this process has registered. KVM has no call that returns
 * the VM of a vCPU: one of another VM is accepted, and its VM is then not held. */
int32_t memslots_vcpu_open(
    memslots_table table, const memslots_vcpu_options *options, memslots_vcpu *vcpu);

/* Ends its registration. */
int32_t memslots_vcpu_close(memslots_vcpu vcpu);

/* Unblocks the kick signal for the calling thread. The number is that of kick_signal, with the same
 * default. Call it once on each thread that runs vCPUs, before its first memslots_vcpu_run(). */
int32_t memslots_accept_kicks(int32_t kick_signal);

/* Runs the guest (KVM_RUN) until it leaves. Waits first while a transaction holds vCPUs out. Hold
 * no lock that a hook or a submitting thread may acquire. MEMSLOTS_OK: kvm_run describes the exit.
 * MEMSLOTS_INTERRUPTED and MEMSLOTS_NOT_READY: check your own conditions, then run again. Neither
 * set nor clear immediate_exit; use memslots_vcpu_kick(). `requests`, which may be NULL, receives
 * the MEMSLOTS_KICK_* bits of those who asked the vCPU to leave. If KVM_RUN fails with another
 * errno, the function returns MEMSLOTS_SYSTEM. */
int32_t memslots_vcpu_run(memslots_vcpu vcpu, uint32_t *requests);

/* Makes the vCPU leave the guest, or prevents its next entry. Any thread; never waits. */
int32_t memslots_vcpu_kick(memslots_vcpu vcpu);

/* Empties the dirty rings. Call it on the vCPU's thread after KVM_EXIT_DIRTY_RING_FULL. */
int32_t memslots_vcpu_drain_dirty_ring(memslots_vcpu vcpu);

/* Runs `body` once inside the gate: for an ioctl that uses slots, or for a program with its own
 * vCPU loop. Waits first while a transaction holds vCPUs out; a transaction waits until `body`
 * returns. A submitting thread calls `kick`, which may be NULL, while `body` runs or is about to
 * run; it asks `body` to return soon. Errors contain `name`. `context` is used until the function
 * returns. */
int32_t memslots_guarded(
    memslots_table table, const char *name, void (*body)(void *context),
    void (*kick)(void *context), void *context);

/* ---- Hooks and observers ----------------------------------------------------------------- */

enum { MEMSLOTS_ADDED = 0, MEMSLOTS_REMOVED = 1, MEMSLOTS_MOVED = 2, MEMSLOTS_REFLAGGED = 3 };

/* One change of a transaction. An addition has no `before`, a removal no `after`: size 0. */
typedef struct memslots_change {
    uint32_t kind, reserved;
    memslots_slot before, after;
} memslots_change;

/* Keeps another user of guest memory in step: vhost, VFIO, an IOMMU. The table calls, for each
 * change in order, prepare; then commit and finish, or abort in reverse order. A replaced slot is
 * passed as removed, then as added. Slots that the table has when the hook is added are not passed;
 * the recovery of a failed table calls no hook. The submitting thread makes all calls. Each
 * function may be NULL. A function may read the table, not submit. It may submit to another table;
 * but if hooks of two tables submit to each other's table, two threads can wait for each other for
 * ever. Submit to tables in one order. */
typedef struct memslots_hook_functions {
    size_t struct_size;
    void *context;  /* The first argument of each function. Used until `release` is called. */
    const char *name;  /* The hook's name in errors; copied. */
    bool needs_quiescence;  /* Hold vCPUs out for every transaction. */
    /* The guest runs. Returns 0 to allow the change. Any other value vetoes the whole transaction;
     * the function writes its reason to `reason`. It gets no abort for this change then. */
    int32_t (*prepare)(
        void *context, const memslots_change *change, char *reason, size_t reason_capacity);
    /* The slot calls are made, and readers are held out; vCPUs are too if the plan or a hook needs
     * it, but not where the submit's `continuity` deletes after its hold. The arrays are not yet
     * swapped. Be short; acquire no lock that a vCPU may hold. */
    void (*commit)(void *context, const memslots_change *change);
    /* The guest runs with the new array. */
    void (*finish)(void *context, const memslots_change *change);
    /* The change was cancelled. The guest runs with the old array; but if the undo failed, it is
     * held and its slots are neither array. */
    void (*abort)(void *context, const memslots_change *change);
    /* No function is called after this one. */
    void (*release)(void *context);
} memslots_hook_functions;

typedef struct memslots_hook { uint64_t value; } memslots_hook;

/* Adds a hook for the transactions that begin afterwards. */
int32_t memslots_hook_add(
    memslots_table table, const memslots_hook_functions *functions, memslots_hook *hook);

/* Removes a hook for the transactions that begin afterwards. A running one still calls it. */
int32_t memslots_hook_remove(memslots_hook hook);

enum {
    MEMSLOTS_EVENT_COMMITTED = 0,
    MEMSLOTS_EVENT_ROLLED_BACK = 1,
    MEMSLOTS_EVENT_FAILED = 2,
    MEMSLOTS_EVENT_RECOVERED = 3,
    /* The last reader has left all arrays older than `generation`. Follows a receipt whose
     * `retired` is false. Reported by a thread of the table, or before a submit returns. */
    MEMSLOTS_EVENT_RETIRED = 4
};

/* An event of a table. */
typedef struct memslots_event {
    uint32_t kind;
    int32_t kernel_errno;  /* The kernel's errno, for ROLLED_BACK and FAILED. */
    uint64_t generation;  /* The generation after the event. */
    uint64_t previous_generation;
} memslots_event;

typedef struct memslots_observation { uint64_t value; } memslots_observation;

/* Calls `observer` for every event from now on, in order and before the submit returns. The
 * function must be short. `context` is used until `release`, which may be NULL, is called.
 * `generation`, which may be NULL, receives the generation before the first event. */
int32_t memslots_observe(
    memslots_table table, void (*observer)(void *context, const memslots_event *event),
    void (*release)(void *context), void *context, uint64_t *generation,
    memslots_observation *observation);

/* Ends an observation. */
int32_t memslots_observation_end(memslots_observation observation);

/* ---- vhost-user back ends ---------------------------------------------------------------- */

/* A device process that maps guest memory: DPDK, SPDK, virtiofsd, qemu-storage-daemon. Attached to
 * a table, it has each transaction's memory before the guest does; its rings are drained and
 * restarted only where memory goes, changes or is cut. Docs/VhostUser.md describes the messages. In
 * order: open, let the guest's driver choose features, attach, start rings. Start, stop and
 * reconnect wait until no transaction runs; inside of one they return MEMSLOTS_REENTRANT. */
typedef struct memslots_back_end { uint64_t value; } memslots_back_end;

/* What a back end offers. */
typedef struct memslots_back_end_offer {
    size_t struct_size;
    uint64_t features;  /* Feature bits of virtio and vhost, without VIRTIO_F_ACCESS_PLATFORM. */
    uint32_t ring_count;
    uint32_t region_limit;  /* How many regions of memory it has room for. */
} memslots_back_end_offer;

/* Connects to the socket at `path` (one that begins with '@' is abstract), or, if it is NULL, adopts
 * the connected `socket`, also on an error. Becomes the owner and negotiates the protocol. */
int32_t memslots_back_end_open(
    const char *path, int socket, uint32_t deadline_milliseconds, memslots_back_end *back_end,
    memslots_back_end_offer *offer);

/* Reads `count` bytes, 1 to 256, of the device's configuration, if the back end has one. */
int32_t memslots_back_end_configuration(
    memslots_back_end back_end, uint32_t offset, void *bytes, size_t count);

enum {
    MEMSLOTS_BACK_END_DETACHED = 0,
    MEMSLOTS_BACK_END_ATTACHED = 1,
    /* The connection ended. Transactions go on without the back end; reconnect it. */
    MEMSLOTS_BACK_END_LOST = 2,
    /* Reconnected, without rings: which requests are open is unknown. Reset the device. */
    MEMSLOTS_BACK_END_NEEDS_RESET = 3
};

typedef struct memslots_back_end_options {
    size_t struct_size;
    void *context;  /* The first argument of each function. Used until `release` is called. */
    const char *name;  /* The name in errors and receipts; copied. */
    /* Returns the file behind a memslots_slot.memory_object, or -1. Required. Called in transactions. */
    int (*descriptor)(void *context, uint32_t memory_object);
    /* Whether the back end sees a slot. NULL: every writable slot of address space 0; leave out
     * device memory. */
    bool (*is_visible)(void *context, const memslots_slot *slot);
    /* One of MEMSLOTS_BACK_END_LOST and _NEEDS_RESET, on the thread that found it; be short. */
    void (*state_changed)(void *context, uint32_t state, const char *reason);
    /* No function is called after this one. */
    void (*release)(void *context);
    /* The device's features, as the guest's driver acknowledged them; 0: VIRTIO_F_VERSION_1. */
    uint64_t features;
    uint32_t deadline_milliseconds;  /* How long one call may take; 0: 5,000. */
    /* How long it may take after a transaction has committed, before it is lost; 0: 10,000. */
    uint32_t patience_milliseconds;
    /* The back end itself waits for its requests when a ring stops, as virtiofsd does. */
    bool waits_for_requests;
} memslots_back_end_options;

/* Sends the table's array to the back end, and follows the table from then on. Once only. */
int32_t memslots_back_end_attach(
    memslots_back_end back_end, memslots_table table, const memslots_back_end_options *options);

/* A ring. The addresses are guest physical ones, in slots that the back end sees. */
typedef struct memslots_ring {
    size_t struct_size;
    uint32_t index;
    uint32_t entries;
    uint64_t descriptors, available, used;
    /* Event descriptors: of the driver's notifications and of the back end's; duplicated. */
    int kick, call;
    uint32_t base;  /* Where the back end begins. */
    uint32_t buffer_count;
    /* Where the ring's buffers lie; NULL: anywhere. A change elsewhere does not stop the ring. */
    const memslots_range *buffers;
} memslots_ring;

/* Starts a ring, or starts it again with another configuration. Waits for a transaction to end. */
int32_t memslots_back_end_start(memslots_back_end back_end, const memslots_ring *ring);

/* Drains and stops a ring. `base`, which may be NULL, receives where it stopped. */
int32_t memslots_back_end_stop(memslots_back_end back_end, uint32_t ring, uint32_t *base);

/* Continues with the connection of `fresh`, opened anew and not attached, which is closed. */
int32_t memslots_back_end_reconnect(memslots_back_end back_end, memslots_back_end fresh);

typedef struct memslots_back_end_status {
    size_t struct_size;
    uint32_t state;  /* One of MEMSLOTS_BACK_END_*. */
    uint32_t regions;
    /* How often a running ring was stopped for a transaction; messages sent. */
    uint64_t ring_stops, messages;
} memslots_back_end_status;

int32_t memslots_back_end_get_status(
    memslots_back_end back_end, memslots_back_end_status *status);

/* Detaches the back end from its table, and closes the connection. A running transaction still
 * uses it. */
int32_t memslots_back_end_close(memslots_back_end back_end);

/* ---- The simulator ----------------------------------------------------------------------- */

/* Marks the pages of the range dirty, as a write of the guest does. */
int32_t memslots_simulator_touch(
    memslots_table table, uint32_t address_space, uint64_t guest_physical_address, uint64_t size);

/* Injects a fault: operation number `operation` fails with `kernel_errno` in the next `times`
 * transactions that reach it, at least 1. Numbers begin with 0; the operations of an undo continue
 * them. */
int32_t memslots_simulator_fail(
    memslots_table table, uint32_t operation, int32_t kernel_errno, uint32_t times);

/* Removes all injected faults. */
int32_t memslots_simulator_clear_faults(memslots_table table);

/* The slots that the simulated kernel has installed. */
int32_t memslots_simulator_installed(
    memslots_table table, memslots_slot *list, size_t capacity, size_t *count);

#ifdef __cplusplus
}
#endif

#endif /* MEMSLOTS_H */
