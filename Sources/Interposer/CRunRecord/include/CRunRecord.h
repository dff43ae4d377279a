// What a preloaded VMM records for `memslotctl run`: a header and records of one size in a memfd
// that both map. The VMM may be killed at any moment, so each record is complete in itself and valid
// once its kind is set. The first half of the records stays; the other half is a ring of the newest.
// A reader copies a record and then checks its kind again: it may have been overwritten meanwhile.
#ifndef CRUNRECORD_H
#define CRUNRECORD_H

#include <stdint.h>

#define CRUN_MAGIC 0x33746f6c736d656dull
// The environment variable that names the memfd to a preloaded program, under --atomic behind the word:
// so that one that can't open it creates no VM.
#define CRUN_VARIABLE "MEMSLOTS_RUN"
#define CRUN_ATOMICALLY "atomic:"
// The most records that there is room for. The file is sparse: unused records take no memory.
#define CRUN_RECORD_LIMIT (1u << 20)

// Bits of the header's mode.
#define CRUN_ATOMIC 1u
// A reader follows the run while it lasts: events that end a transaction are recorded too.
#define CRUN_LIVE 2u

// What happens after the hold budget: nothing; the calls are made beside the guest, and later ones
// pass through; the VMM is stopped.
#define CRUN_FINISH 0u
#define CRUN_PASS 1u
#define CRUN_STOP 2u

// Kinds of record.
#define CRUN_NOTHING 0u
// A VM was created.
#define CRUN_VM 1u
// A slot call of the VMM, with the result that it got.
#define CRUN_ASKED 2u
// A slot call that the library made on the kernel.
#define CRUN_MADE 3u
// The end of a transaction, which consists of the calls before it.
#define CRUN_COMMIT 4u
// A thread that had made slot calls entered KVM_RUN.
#define CRUN_ENTERED 5u
// The last descriptor of a VM was closed.
#define CRUN_GONE 6u
// The array that a VM has now, for a reader that lost earlier records: its slots follow.
#define CRUN_ARRAY 7u
#define CRUN_SLOT 8u
// Of `crun_kind` alone: a later record has the place.
#define CRUN_OVERWRITTEN 0xffu
// KVM_RUN returned EFAULT. `userspace_addr` is the guest address that KVM names, or all ones. The
// mappings of the process come before it.
#define CRUN_FAULT 9u
// A mapping: `userspace_addr`, `memory_size`, and in `flags` the bits below.
#define CRUN_MAPPING 10u
// A call unmapped or protected user memory: in `flags` what it left.
#define CRUN_CHANGED 11u
// The VMM sent a region in a vhost-user memory table to a device process.
#define CRUN_TABLE 12u

#define CRUN_READABLE 1u
#define CRUN_WRITABLE 2u
// A device's memory.
#define CRUN_DEVICE 4u
// Past the end of its file.
#define CRUN_BEYOND 8u
#define CRUN_UNMAPPED 0xffffffffu

// Why a transaction was committed.
#define CRUN_BY_RUN 1u
#define CRUN_BY_CALL 2u
#define CRUN_BY_UNMAPPING 3u
#define CRUN_BY_DEVICE 4u
#define CRUN_BY_QUIET 5u
#define CRUN_BY_CLOSE 6u
// The thread did not stop making slot calls, and a commit left no hole at that point.
#define CRUN_BY_TIME 7u
// The hold exceeded its budget: the calls were made beside the guest.
#define CRUN_BY_BUDGET 8u
// One call, made beside the guest: after a hold that exceeded its budget, or while --atomic is off.
#define CRUN_BY_PASS 9u
// The VMM was about to send a vhost-user memory table.
#define CRUN_BY_TABLE 10u

// The words of a slot call.
struct crun_region {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t guest_memfd_offset;
    int32_t guest_memfd;
    // 1 or 2: KVM_SET_USER_MEMORY_REGION or …REGION2.
    uint32_t form;
};

// For how long the parts of a hold took, in nanoseconds: until all vCPUs were sent a signal, then
// until none could be in the guest, and at the end letting them in again.
struct crun_hold {
    uint64_t kick;
    uint64_t wait;
    uint64_t release;
    // vCPUs that were inside KVM_RUN; those of them that slept there and were not waited for.
    uint32_t inside;
    uint32_t asleep;
    uint64_t reserved;
    // Whether no vCPU was inside or wanted to enter: the hold has withheld nothing.
    uint32_t withheld_none;
    // Why the transaction was committed: CRUN_BY_RUN and so on.
    uint32_t why;
};

// A region of a vhost-user message: SET_MEM_TABLE (5), ADD_MEM_REG (37) or REM_MEM_REG (38).
struct crun_table {
    uint32_t request;
    int32_t socket;
    // The process at the other end; 0 if it is not known.
    int32_t peer;
    // Whether no slot changed from before the message to this record: the table then is known.
    uint32_t is_exact;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
};

struct crun_record {
    // Above the lowest 8 bits: how many records had the place before, modulo 2^24.
    uint32_t kind;
    // The VM, numbered from 0 over all processes of the run.
    uint32_t vm;
    int32_t process;
    int32_t thread;
    // In nanoseconds of CLOCK_MONOTONIC: of a call, or for a commit how long vCPUs were held.
    uint64_t start;
    uint64_t duration;
    // 0 or minus errno.
    int32_t result;
    // How many other vCPUs were inside KVM_RUN when the call began.
    uint32_t inside;
    union {
        // Of a slot call.
        struct crun_region region;
        // Of a commit.
        struct crun_hold hold;
        struct crun_table table;
    };
    // How often this thread, and all threads of the VM together, had entered KVM_RUN.
    uint64_t runs;
    uint64_t entries;
    // For a commit: how many calls the VMM and the library made, and how long the library's took. For
    // a VM: its host's limits of slots and of address spaces, and whether it has guest_memfd. For an
    // array: how many slots.
    uint32_t asked;
    uint32_t made;
    uint64_t applied;
    // For a commit: when the hold began.
    uint64_t held_since;
};

struct crun_header {
    uint64_t magic;
    uint32_t mode;
    // Programs that mapped the file, VMs that were created, VMs and vCPUs that did not fit.
    uint32_t attached;
    uint32_t machines;
    uint32_t untracked;
    // How many records were begun.
    uint64_t next;
    // After how many quiet nanoseconds the calls of a thread that runs no vCPU are committed.
    uint64_t quiet;
    // For tests: which of the library's slot calls fails, from 1, and with which errno. 0: none.
    uint32_t fault_call;
    int32_t fault_errno;
    uint32_t reserved3;
    // Whether a VMM was stopped because the kernel refused a call that had been reported as done.
    uint32_t stopped;
    // Signals sent to make vCPUs leave the guest; EINTRs that were hidden from and shown to the VMM.
    uint64_t kicks;
    uint64_t hidden;
    uint64_t shown;
    // Slot calls that were reported as done and are not applied yet. What is left at the end was
    // never applied.
    uint64_t deferred;
    // Totals, which are exact also where records were lost: slot calls of the VMM's that succeeded
    // and that were refused, commits, and how long these held vCPUs.
    uint64_t succeeded;
    uint64_t refused;
    uint64_t commits;
    uint64_t held;
    uint64_t longest_hold;
    // For how long vCPUs may be held before `past_budget` applies, 0: without a limit; and how long
    // one may take to leave the guest before the VMM is stopped. In nanoseconds.
    uint64_t hold_budget;
    uint64_t hold_limit;
    uint32_t past_budget;
    // How many records there is room for: even, 4 to CRUN_RECORD_LIMIT.
    uint32_t room;
    // Slot calls that were made beside the guest, each at once.
    uint64_t passed;
    // Whether --atomic is off: slot calls after the current transaction are made at once.
    uint32_t is_off;
    uint32_t reserved2;
    // How many slot calls the library made.
    uint64_t made;
    // How many holds exceeded the budget.
    uint64_t past;
    uint64_t reserved[9];
};

#define CRUN_FILE_SIZE                                                                             \
    (sizeof(struct crun_header) + (uint64_t)CRUN_RECORD_LIMIT * sizeof(struct crun_record))

_Static_assert(sizeof(struct crun_record) == 128, "two cache lines");
_Static_assert(sizeof(struct crun_header) == 256, "records are aligned");

// Returns how many records were begun, while the file may be written.
uint64_t crun_next(const struct crun_header *header);

// How many records there is room for, in any header.
static inline uint64_t crun_room(const struct crun_header *header) {
    uint32_t room = header->room;
    return room >= 4 && room <= CRUN_RECORD_LIMIT && room % 2 == 0 ? room : CRUN_RECORD_LIMIT;
}

// The place of the record with this index, and how many records had it before.
static inline uint64_t crun_place(uint64_t room, uint64_t index) {
    return index < room ? index : room / 2 + index % (room / 2);
}

static inline uint32_t crun_lap(uint64_t room, uint64_t index) {
    return index < room ? 0 : (uint32_t)(index / (room / 2) - 1) & 0xffffff;
}

// The kind of the record with this index, CRUN_NOTHING until it is finished, or CRUN_OVERWRITTEN.
uint32_t crun_kind(const struct crun_record *records, uint64_t room, uint64_t index);

// Copies a record. Returns the kind, as crun_kind; the copy is whole if it is one of a record.
uint32_t crun_read(const struct crun_record *records, uint64_t room, uint64_t index,
                   struct crun_record *copy);

// Makes the calling process the parent of descendants whose own parent has ended.
void crun_adopt_orphans(void);

// As fork(2), for a process with one thread.
int crun_fork(void);

// As pidfd_open(2): readable when the process has ended.
int crun_open_process(int process);

// Whether the calling process ignores a signal, which may be one of the C library's own.
int crun_is_ignored(int signal);

// Returns whether a file's bytes name the variable CRUN_VARIABLE, as the library's do.
int crun_names_variable(const void *bytes, uint64_t count);

// Switches --atomic off or on, at the next call that begins a transaction.
void crun_set_off(struct crun_header *header, uint32_t is_off);

uint64_t crun_file_size(void);
uint64_t crun_magic(void);

#endif
