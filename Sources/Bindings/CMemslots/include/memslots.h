/*
 * memslots.h: guest memory of a KVM virtual machine, changed as a whole.
 *
 * A table is the memory of one VM. memslots_submit() takes the complete array of slots that the
 * VM is to have, finds what differs, and carries it out with vCPUs held out of the guest. When it
 * returns the VM has exactly that array, or exactly the one before; the answer says which.
 *
 * In short: memslots_open_kvm(), memslots_vcpu_open() for each vCPU, memslots_submit() for every
 * change, memslots_vcpu_run() in place of ioctl(KVM_RUN), a reader for each thread that translates.
 * Sources/Examples/c/vmm.c is a whole VMM. Linked by `pkg-config --cflags --libs memslots`.
 *
 * RULES FOR ALL FUNCTIONS
 *
 * Units. Addresses and sizes are bytes; those of slots are multiples of 4096. Pages have 4096
 * bytes. Times are nanoseconds of the monotonic clock unless a name says milliseconds.
 *
 * Answers. MEMSLOTS_OK (0) or a positive code is success; a negative code is an error, and nothing
 * was done. The calling thread then finds a sentence in memslots_error_message(), and more in the
 * functions beside it. Codes keep their numbers.
 *
 * Handles are numbers, not pointers. They are safe to use from any thread, at any time: one that is
 * zero, was never given, or is closed gives MEMSLOTS_BAD_HANDLE. Closing while another thread is
 * inside a call on the handle lets that call end first, without waiting for it. What a table owns
 * (readers, vCPUs, hooks) keeps the table until it is closed too.
 *
 * Pointers belong to the caller, and are only used until the call returns, but for callbacks and
 * their contexts, where it is said how long. NULL where something is needed gives
 * MEMSLOTS_BAD_ARGUMENT. A pointer that is neither NULL nor valid can't be found out.
 *
 * Structures that begin with struct_size have it set by the caller to their sizeof, so that later
 * versions can add members at the end; MEMSLOTS_INIT does so and zeroes the rest. Zero is each
 * member's default.
 *
 * Lists. A function that fills a list takes its capacity, fills as much as fits, and stores how
 * many there are in all in *count. If not all fit it gives MEMSLOTS_TOO_SMALL. A capacity of 0
 * with a NULL list asks for the count alone; where there is something it gives MEMSLOTS_TOO_SMALL.
 *
 * Strings are UTF-8 and end in a zero byte.
 *
 * Threads. Every function may be called from every thread, except that a reader's view and a
 * receipt are for one thread at a time. From inside a hook, an observer, a view, or a function run
 * in the vCPU gate, what would wait for itself gives MEMSLOTS_REENTRANT.
 *
 * Processes. KVM takes memory changes only from the process that made the VM: after a fork() the
 * child must not use the parent's handles.
 */
#ifndef MEMSLOTS_H
#define MEMSLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of this interface. It changes when a program has to be compiled anew; every program
 * that includes this header refers to the symbol of its version, so that it can't be linked to, or
 * started with, a library of another.
 */
#define MEMSLOTS_ABI 1
uint32_t memslots_abi_1(void);
#if defined(__GNUC__) && !defined(MEMSLOTS_NO_ABI_REFERENCE)
static uint32_t (*const memslots_abi_of_this_program)(void) __attribute__((used)) = memslots_abi_1;
#endif

/* A structure of `type` with its size set and everything else zero. */
#ifdef __cplusplus
#define MEMSLOTS_INIT(type) ([] { type made{}; made.struct_size = sizeof(type); return made; }())
#else
#define MEMSLOTS_INIT(type) ((type){.struct_size = sizeof(type)})
#endif

/* ---- Answers ---------------------------------------------------------------------------- */

enum {
    MEMSLOTS_OK = 0,
    /* memslots_vcpu_run(): a signal, a kick or a transaction brought the vCPU out (EINTR). */
    MEMSLOTS_INTERRUPTED = 1,
    /* memslots_vcpu_run(): the vCPU waits to be started by another (EAGAIN). Run it again. */
    MEMSLOTS_NOT_READY = 2,

    /* The array breaks rules: memslots_error_violations(). */
    MEMSLOTS_INVALID_ARRAY = -1,
    /* The generation is not the expected one: read the table, submit against that. */
    MEMSLOTS_CONFLICT = -2,
    /* A hook refused; its reason is in the message. */
    MEMSLOTS_REJECTED = -3,
    /* A vCPU or a reader was still inside at the deadline; the message names it. */
    MEMSLOTS_QUIESCE_TIMEOUT = -4,
    /* A kernel call failed midway and all was undone: memslots_error_errno(). */
    MEMSLOTS_ROLLED_BACK = -5,
    /* Undoing failed too. vCPUs stay out: memslots_recover(), memslots_failure(). */
    MEMSLOTS_FAILED = -6,
    /* Called from where it would wait for itself. */
    MEMSLOTS_REENTRANT = -7,
    /* A handle that is zero, unknown, closed, or of another kind. */
    MEMSLOTS_BAD_HANDLE = -8,
    /* NULL where something is needed, a wrong struct_size, a number out of its range. */
    MEMSLOTS_BAD_ARGUMENT = -9,
    /* There is no such slot, or it does not log. */
    MEMSLOTS_NO_SUCH_SLOT = -10,
    /* An address that no slot maps. */
    MEMSLOTS_NOT_MAPPED = -11,
    /* The list has more entries than the capacity. */
    MEMSLOTS_TOO_SMALL = -12,
    /* The host refused something: memslots_error_errno(). */
    MEMSLOTS_SYSTEM = -13,
    /* This kind of table can't do that. */
    MEMSLOTS_NOT_SUPPORTED = -14,
    /* A view that is not entered any more, or entered again from the same reader. */
    MEMSLOTS_NOT_INSIDE = -15,
    /* More handles than the process can have (1,048,575). */
    MEMSLOTS_TOO_MANY_HANDLES = -16,
    /* Memory that the slot does not let be written. */
    MEMSLOTS_READ_ONLY = -17
};

/* The name of a code, such as "conflict"; "unknown" for another number. Never freed. */
const char *memslots_code_name(int32_t code);

/* ---- What went wrong last on this thread ------------------------------------------------- */

/* What breaks a rule in a submitted array. */
typedef struct memslots_violation {
    /* Its position in the array; -1 for a fault of the array as a whole. */
    int64_t index;
    /* The other slot that has part in it; -1 if none. */
    int64_t other_index;
    /* The slot's id, MEMSLOTS_ANY_SLOT where none was given. */
    uint32_t slot;
    uint32_t address_space;
    /* What KVM would answer; 0 where it has no such fault. */
    int32_t kernel_errno;
    uint32_t reserved;
    /* The rule's stable name, such as "overlap"; Docs/Protocol.md lists them. */
    char kind[32];
    /* Where, such as "slots[3].size". */
    char path[64];
    /* A sentence, cut where it is longer. */
    char message[256];
} memslots_violation;

/* What, where and what to do: of the last call on this thread that gave an error. "" before. Valid
 * until the thread's next error. */
const char *memslots_error_message(void);

/* The kernel's errno behind that error; 0 if there is none. */
int32_t memslots_error_errno(void);

/* The faults of this thread's last error if that was MEMSLOTS_INVALID_ARRAY, in array order; at most
 * 1,024 are kept. */
int32_t memslots_error_violations(memslots_violation *list, size_t capacity, size_t *count);

/* ---- Slots ------------------------------------------------------------------------------- */

/* As an id in a submitted array: the table picks one. */
#define MEMSLOTS_ANY_SLOT UINT32_MAX

/* Flags of a slot: the kernel's KVM_MEM_*. */
enum {
    MEMSLOTS_LOG_DIRTY_PAGES = 1u << 0,
    MEMSLOTS_READONLY = 1u << 1,
    MEMSLOTS_GUEST_MEMFD = 1u << 2
};

/* One range of guest memory. */
typedef struct memslots_slot {
    /* 0 up to max_slots - 1, or MEMSLOTS_ANY_SLOT. */
    uint32_t slot;
    /* Almost always 0. */
    uint32_t address_space;
    uint64_t guest_physical_address;
    uint64_t size;
    /* The memory behind it, in this process. It must stay mapped while the table has the slot. */
    uint64_t userspace_address;
    uint32_t flags;
    /* A number of the caller's for the memory behind it, so that a page is known again wherever it
     * is mapped; 0 where there is none. */
    uint32_t memory_object;
    /* Where in that memory the slot begins. */
    uint64_t memory_offset;
    /* With MEMSLOTS_GUEST_MEMFD only: the descriptor and where in it the slot begins. */
    uint64_t guest_memfd_offset;
    int32_t guest_memfd;
    uint32_t reserved;
} memslots_slot;

/* ---- Tables ------------------------------------------------------------------------------ */

/* The memory of one VM. */
typedef struct memslots_table { uint64_t value; } memslots_table;

/* A simulated VM, for tests: KVM's rules, order of checks and errno without a kernel. */
typedef struct memslots_simulator_options {
    size_t struct_size;
    /* 1 to 1,048,576; 0: 32,764. */
    uint32_t max_slots;
    /* 1 to 65,536; 0: 1. */
    uint32_t address_spaces;
    /* 12 to 64; 0: 52. */
    uint32_t guest_physical_bits;
    /* Flags that slots may have; 0: log-dirty-pages and readonly. */
    uint32_t flags;
} memslots_simulator_options;

/* How the VM keeps its dirty log; KVM can't be asked. */
enum {
    /* Reading clears: what every VM begins with. */
    MEMSLOTS_DIRTY_LOG_CLEARED_BY_READING = 0,
    /* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 with 1, and with 3. */
    MEMSLOTS_DIRTY_LOG_MANUAL = 1,
    MEMSLOTS_DIRTY_LOG_MANUAL_INITIALLY_SET = 2,
    /* KVM_CAP_DIRTY_LOG_RING with dirty_ring_bytes. */
    MEMSLOTS_DIRTY_LOG_RING = 3
};

/* A VM that the caller made. */
typedef struct memslots_kvm_options {
    size_t struct_size;
    /* The slots that are on it already; they are checked against the kernel. NULL: none. */
    const memslots_slot *installed;
    size_t installed_count;
    /* One of MEMSLOTS_DIRTY_LOG_*; in force already. */
    uint32_t dirty_log;
    uint32_t dirty_ring_bytes;
    /* Lets a deletion cost only its own mappings (KVM_X86_QUIRK_SLOT_ZAP_ALL off), where the kernel
     * can; for the VM's whole life. */
    bool keeps_other_mappings;
} memslots_kvm_options;

/* Opens a table on a simulated VM. `options` may be NULL. */
int32_t memslots_open_simulator(const memslots_simulator_options *options, memslots_table *table);

/*
 * Opens a table on a VM of this process (KVM_CREATE_VM). `options` may be NULL. The descriptor
 * stays the caller's, and must stay open until the table is closed. From now on nobody else calls
 * KVM_SET_USER_MEMORY_REGION on it, and every vCPU runs by memslots_vcpu_run() or inside
 * memslots_guarded(): one that runs by a KVM_RUN of its own is not held out.
 */
int32_t memslots_open_kvm(
    int vm_descriptor, const memslots_kvm_options *options, memslots_table *table);

/* Closes a table. The VM keeps its slots. Calls that are inside on other threads end first. */
int32_t memslots_close(memslots_table table);

/* What arrays are judged by. */
typedef struct memslots_capabilities {
    size_t struct_size;
    uint32_t max_slots;
    uint32_t address_spaces;
    /* The largest guest page number. */
    uint64_t max_guest_page;
    uint64_t max_pages_per_slot;
    /* Flags that slots may have. */
    uint32_t flags;
} memslots_capabilities;

/* What the table's VM allows. */
int32_t memslots_get_capabilities(memslots_table table, memslots_capabilities *capabilities);

/* ---- Transactions ------------------------------------------------------------------------ */

/* How a transaction is carried out. */
typedef struct memslots_submit_options {
    size_t struct_size;
    /* Commit only if this is still the generation; looked at if has_expected_generation. */
    uint64_t expected_generation;
    bool has_expected_generation;
    /* Hold vCPUs out for every change; else only where one could miss something. */
    bool always_quiesce;
    /* How long to wait for vCPUs and readers to leave; 0: 1,000. */
    uint32_t quiesce_deadline_milliseconds;
} memslots_submit_options;

enum { MEMSLOTS_COMMITTED = 0, MEMSLOTS_UNCHANGED = 1 };

/*
 * What a transaction did. Once filled it holds memory: memslots_receipt_release() it, also before
 * it is given to another submit. An error leaves it as it was. The functions below tell more of it.
 */
typedef struct memslots_receipt {
    size_t struct_size;
    /* The generation after the submit. */
    uint64_t generation;
    /* MEMSLOTS_COMMITTED or MEMSLOTS_UNCHANGED. */
    uint32_t outcome;
    /* Slots by what became of them. One that can't change in place is both removed and added. */
    uint32_t added, removed, moved, reflagged;
    /* Slot calls. */
    uint32_t operations;
    /* Runs of dirty pages that no slot of the new array tells any more. */
    uint32_t unmapped_dirty_runs;
    uint32_t warnings;
    /* Readers that still use the array before. */
    uint32_t readers;
    /* Whether vCPUs were held out. */
    bool quiesced;
    /* Whether nobody uses the array before: only then may memory that it named be unmapped. */
    bool retired;
    /* Whether no plan with fewer calls exists. */
    bool is_optimal;
    uint64_t blackout_nanoseconds;
    uint64_t total_nanoseconds;
    /* The library's. */
    uint64_t details;
} memslots_receipt;

/*
 * Makes the `count` slots of `slots` the VM's memory, all at once, or leaves it as it is.
 *
 * Blocks until the transaction has ended. `slots` is the complete array, in any order; what is not
 * in it is not in the guest. `options` and `receipt` may be NULL. Submits of several threads are
 * carried out one after another.
 *
 * MEMSLOTS_OK: the VM has the array (receipt->outcome says whether it had it before). With every
 * error it is as before, but with MEMSLOTS_FAILED, of which the table has to be recovered.
 */
int32_t memslots_submit(
    memslots_table table, const memslots_slot *slots, size_t count,
    const memslots_submit_options *options, memslots_receipt *receipt);

/* The receipt that memslots_submit() would give, with nothing carried out. */
int32_t memslots_plan(
    memslots_table table, const memslots_slot *slots, size_t count,
    const memslots_submit_options *options, memslots_receipt *receipt);

enum { MEMSLOTS_CREATE = 0, MEMSLOTS_DELETE = 1, MEMSLOTS_MOVE = 2, MEMSLOTS_REFLAG = 3 };

/* One slot call. For a deletion `after` has a size of 0, for a creation `before`. */
typedef struct memslots_operation {
    uint32_t call;
    uint32_t reserved;
    memslots_slot before;
    memslots_slot after;
} memslots_operation;

/* A run of dirty pages, counted from the first page of `slot` as it was. */
typedef struct memslots_dirty_run {
    memslots_slot slot;
    uint64_t first_page;
    uint64_t page_count;
} memslots_dirty_run;

/* The slot calls, in the order in which they were carried out. */
int32_t memslots_receipt_operations(
    const memslots_receipt *receipt, memslots_operation *list, size_t capacity, size_t *count);

/* The submitted slots with the ids that were picked, in the order submitted. */
int32_t memslots_receipt_slots(
    const memslots_receipt *receipt, memslots_slot *list, size_t capacity, size_t *count);

/* Pages that were dirty and that no logging slot maps any more: nobody will tell of them again. */
int32_t memslots_receipt_dirty_runs(
    const memslots_receipt *receipt, memslots_dirty_run *list, size_t capacity, size_t *count);

/* What works but will disappoint, from 0 up to receipt->warnings - 1; NULL past it. Valid until the
 * receipt is released. */
const char *memslots_receipt_warning(const memslots_receipt *receipt, size_t index);

/* The name of a reader that still uses the array before; as memslots_receipt_warning(). */
const char *memslots_receipt_reader(const memslots_receipt *receipt, size_t index);

/* Lets go of what a filled receipt holds. Harmless on one that holds nothing, and on NULL. */
void memslots_receipt_release(memslots_receipt *receipt);

/* The table as it is: ascending by address space and id. `generation` may be NULL. */
int32_t memslots_get(
    memslots_table table, memslots_slot *list, size_t capacity, size_t *count,
    uint64_t *generation);

/* After MEMSLOTS_FAILED: the slots that are really installed. MEMSLOTS_NOT_SUPPORTED on a table
 * that has not failed. */
int32_t memslots_failure(
    memslots_table table, memslots_slot *list, size_t capacity, size_t *count);

/* Tries the undo of a failed table again. Does nothing on a table that has not failed. */
int32_t memslots_recover(memslots_table table);

/* Lets vCPUs into the guest of a failed table, whatever is installed; until then, or until
 * memslots_recover() succeeds, memslots_vcpu_run() and memslots_guarded() wait. */
int32_t memslots_release_vcpus(memslots_table table);

/* ---- Dirty log --------------------------------------------------------------------------- */

/*
 * Reads which pages of a slot the guest has written: the kernel's bits and those carried over from
 * slots before it. `first_page` is a multiple of 64; a `page_count` of 0 means up to the slot's
 * end. `bitmap` gets a bit a page, the first in the lowest bit of the first word, and has room for
 * `words` >= (page_count + 63) / 64. With `clear` exactly the bits that were told are clear
 * afterwards. `dirty_pages`, which may be NULL, gets how many pages are dirty.
 * MEMSLOTS_NO_SUCH_SLOT also where the slot does not log; MEMSLOTS_TOO_SMALL where `words` is, and
 * nothing is cleared.
 */
int32_t memslots_dirty_log(
    memslots_table table, uint32_t address_space, uint32_t slot, uint64_t first_page,
    uint64_t page_count, bool clear, uint64_t *bitmap, size_t words, uint64_t *dirty_pages);

/* ---- Reading ----------------------------------------------------------------------------- */

/* Guest memory that is in one piece in this process. */
typedef struct memslots_span {
    uint64_t guest_physical_address;
    uint64_t size;
    void *address;
    uint32_t slot;
    /* The slot's flags; don't write to MEMSLOTS_READONLY. */
    uint32_t flags;
} memslots_span;

/* Guest memory as a device names it. */
typedef struct memslots_range {
    uint64_t guest_physical_address;
    uint64_t size;
} memslots_range;

/*
 * Where a guest physical address is now. The simple way: `span` reaches from the address to the
 * end of its slot, and is true when the function looks; a submit may come right after it. Whoever
 * goes on to use the memory enters a reader. MEMSLOTS_NOT_MAPPED where no slot has the address, or
 * there is no such address space.
 */
int32_t memslots_translate(
    memslots_table table, uint32_t address_space, uint64_t guest_physical_address,
    memslots_span *span);

/* A reader: one for each thread that translates. Entering it costs nanoseconds and never waits. */
typedef struct memslots_reader { uint64_t value; } memslots_reader;

/* The array that a reader has entered. For the thread that entered, until it leaves. */
typedef struct memslots_view {
    uint64_t reader;
    uint64_t ticket;
    /* The array's generation. */
    uint64_t generation;
    const void *array;
} memslots_view;

/* Registers a reader; `name` is told in receipts and errors if it stays inside for long. */
int32_t memslots_reader_open(memslots_table table, const char *name, memslots_reader *reader);

/* Ends a reader; if it is inside, as soon as it leaves. */
int32_t memslots_reader_close(memslots_reader reader);

/*
 * Enters: until memslots_reader_leave() the array of the view, and the memory behind its slots,
 * stay as they are. A submit meanwhile commits, but waits for the reader up to its deadline; after
 * it the receipt says that the old array is not retired.
 */
int32_t memslots_reader_enter(memslots_reader reader, memslots_view *view);

/* Leaves. The view, and every address that it gave, must not be used any more. */
int32_t memslots_reader_leave(memslots_view *view);

/*
 * Translates a range, which may span slots that touch: `list` gets one span for each slot, in
 * order. If a part is missing it is MEMSLOTS_NOT_MAPPED, and list[0].guest_physical_address is the
 * first address that is not mapped. A `size` of 0 is answered with no span.
 */
int32_t memslots_view_translate(
    const memslots_view *view, uint32_t address_space, uint64_t guest_physical_address,
    uint64_t size, memslots_span *list, size_t capacity, size_t *count);

/*
 * Translates many ranges at once, such as a descriptor chain of virtio: all their spans one after
 * another in `list`, those of a range adding up to its size; a range of size 0 has none.
 * MEMSLOTS_NOT_MAPPED as above, *count being the index of the first range at fault, and the list
 * otherwise of no meaning.
 */
int32_t memslots_view_translate_bulk(
    const memslots_view *view, uint32_t address_space, const memslots_range *ranges,
    size_t range_count, memslots_span *list, size_t capacity, size_t *count);

/* ---- vCPUs ------------------------------------------------------------------------------- */

/* A vCPU that runs its guest inside the table's gate, so that it never sees half a change. */
typedef struct memslots_vcpu { uint64_t value; } memslots_vcpu;

/* Reasons for which a vCPU came out: bits of what memslots_vcpu_run() stores. */
enum { MEMSLOTS_KICK_TRANSACTION = 1u << 0, MEMSLOTS_KICK_EMBEDDER = 1u << 1 };

/* A vCPU that the caller made with KVM_CREATE_VCPU. */
typedef struct memslots_vcpu_options {
    size_t struct_size;
    /* Its descriptor, and its mapped struct kvm_run. Both stay the caller's, and must stay until
     * the vCPU's handle is closed and no thread is inside memslots_vcpu_run(). */
    int descriptor;
    uint32_t id;
    void *kvm_run;
    /* Told in errors; NULL: its id. */
    const char *name;
    /* The signal that brings it out; 0: the first real-time signal. Gets a handler that does
     * nothing, unless it has one. */
    int32_t kick_signal;
} memslots_vcpu_options;

/* Registers a vCPU of a table on KVM, with the table's gate. */
int32_t memslots_vcpu_open(
    memslots_table table, const memslots_vcpu_options *options, memslots_vcpu *vcpu);

/* Ends its registration. */
int32_t memslots_vcpu_close(memslots_vcpu vcpu);

/* Lets the calling thread take the kick signal; the number is that of kick_signal, 0 the same
 * default. Once, on each thread that runs vCPUs, before its first memslots_vcpu_run(). */
int32_t memslots_accept_kicks(int32_t kick_signal);

/*
 * Runs the guest (KVM_RUN) until it leaves; waits first while a transaction holds vCPUs out. Hold
 * no lock that a hook or a submitting thread may want. MEMSLOTS_OK: the exit is in kvm_run.
 * MEMSLOTS_INTERRUPTED and MEMSLOTS_NOT_READY: look at what you wait for, and run again. Don't clear
 * immediate_exit, nor set it: memslots_vcpu_kick(). `requests`, which may be NULL, gets the
 * MEMSLOTS_KICK_* bits of who asked it to come out, if anybody did. Another errno of KVM_RUN is
 * MEMSLOTS_SYSTEM.
 */
int32_t memslots_vcpu_run(memslots_vcpu vcpu, uint32_t *requests);

/* Brings the vCPU out, or keeps it from entering once. From any thread; never waits. */
int32_t memslots_vcpu_kick(memslots_vcpu vcpu);

/* What a vCPU's thread does about KVM_EXIT_DIRTY_RING_FULL; then it runs again. */
int32_t memslots_vcpu_drain_dirty_ring(memslots_vcpu vcpu);

/*
 * Runs `body` inside the gate, once: for an ioctl that uses slots, or for a program that has a
 * vCPU loop of its own. Waits first while a transaction holds vCPUs out; a transaction waits for
 * it. `kick`, which may be NULL, is called from a submitting thread while `body` runs or is about to,
 * and asks it to return soon. `name` is told in errors. The contexts are used until this returns.
 */
int32_t memslots_guarded(
    memslots_table table, const char *name, void (*body)(void *context),
    void (*kick)(void *context), void *context);

/* ---- Hooks and observers ----------------------------------------------------------------- */

enum { MEMSLOTS_ADDED = 0, MEMSLOTS_REMOVED = 1, MEMSLOTS_MOVED = 2, MEMSLOTS_REFLAGGED = 3 };

/* One change of a transaction. An addition has no `before`, a removal no `after`: size 0. */
typedef struct memslots_change {
    uint32_t kind;
    uint32_t reserved;
    memslots_slot before;
    memslots_slot after;
} memslots_change;

/*
 * Keeps something else in step that maps guest memory: vhost, VFIO, an IOMMU. For each change, in
 * order: prepare, and then commit and finish, or, in reverse order, abort. All from the submitting
 * thread; each may be NULL. Inside, the table can be read, not submitted.
 */
typedef struct memslots_hook_functions {
    size_t struct_size;
    /* Handed to the functions. Used until `release` is called. */
    void *context;
    /* What errors call the hook; copied. */
    const char *name;
    /* Hold vCPUs out for every transaction. */
    bool needs_quiescence;
    /* The guest runs. 0 allows the change; anything else refuses the whole transaction, for the
     * reason that it writes to `reason`. */
    int32_t (*prepare)(
        void *context, const memslots_change *change, char *reason, size_t reason_capacity);
    /* The slots are switched and nobody looks. Be short, take no lock that a vCPU may hold. */
    void (*commit)(void *context, const memslots_change *change);
    /* The guest runs on the new table. */
    void (*finish)(void *context, const memslots_change *change);
    /* The change does not come. */
    void (*abort)(void *context, const memslots_change *change);
    /* No function will be called any more. */
    void (*release)(void *context);
} memslots_hook_functions;

typedef struct memslots_hook { uint64_t value; } memslots_hook;

/* Adds a hook, for transactions that begin from now on. */
int32_t memslots_hook_add(
    memslots_table table, const memslots_hook_functions *functions, memslots_hook *hook);

/* Removes it, for transactions that begin from now on; one that runs still tells it its end. */
int32_t memslots_hook_remove(memslots_hook hook);

enum {
    MEMSLOTS_EVENT_COMMITTED = 0,
    MEMSLOTS_EVENT_ROLLED_BACK = 1,
    MEMSLOTS_EVENT_FAILED = 2,
    MEMSLOTS_EVENT_RECOVERED = 3,
    /* After a receipt that was not `retired`: the last reader has left all arrays older than
     * `generation`. Told from a thread of the table's, or before a submit returns. */
    MEMSLOTS_EVENT_RETIRED = 4
};

/* What happened to a table. */
typedef struct memslots_event {
    uint32_t kind;
    /* For ROLLED_BACK and FAILED: the kernel's. */
    int32_t kernel_errno;
    /* The table's after it. */
    uint64_t generation;
    uint64_t previous_generation;
} memslots_event;

typedef struct memslots_observation { uint64_t value; } memslots_observation;

/*
 * Tells `observer` everything that happens from now on, in order and without a gap, before the
 * submit returns; be short. `context` is used until `release` is called, which may be NULL.
 * `generation`, which may be NULL, is where the events begin.
 */
int32_t memslots_observe(
    memslots_table table, void (*observer)(void *context, const memslots_event *event),
    void (*release)(void *context), void *context, uint64_t *generation,
    memslots_observation *observation);

/* Ends an observation. */
int32_t memslots_observation_end(memslots_observation observation);

/* ---- The simulator ----------------------------------------------------------------------- */

/* Writes as a guest would: marks the pages of the range dirty. */
int32_t memslots_simulator_touch(
    memslots_table table, uint32_t address_space, uint64_t guest_physical_address, uint64_t size);

/* Lets slot call `operation` (from 0; those of an undo count on) of the next `times` transactions
 * that reach it fail with `kernel_errno`. */
int32_t memslots_simulator_fail(
    memslots_table table, uint32_t operation, int32_t kernel_errno, uint32_t times);

/* Disarms every fault. */
int32_t memslots_simulator_clear_faults(memslots_table table);

/* What the simulated kernel really has installed. */
int32_t memslots_simulator_installed(
    memslots_table table, memslots_slot *list, size_t capacity, size_t *count);

#ifdef __cplusplus
}
#endif

#endif /* MEMSLOTS_H */
