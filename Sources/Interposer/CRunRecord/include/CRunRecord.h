// What a preloaded VMM leaves for `memslotctl run`: a header and records of one size in a memfd
// that both map. The VMM may be killed at any moment, so each record stands for itself and is
// valid once its kind is set. Nobody but the header's `next` and the records' kinds is raced for.
#ifndef CRUNRECORD_H
#define CRUNRECORD_H

#include <stdint.h>

#define CRUN_MAGIC 0x31746f6c736d656dull
// The environment variable that names the memfd to a preloaded program.
#define CRUN_VARIABLE "MEMSLOTS_RUN"
// The most records that are kept; the file is sparse, so that few cost little.
#define CRUN_RECORD_LIMIT (1u << 20)

// Bits of the header's mode.
#define CRUN_ATOMIC 1u
// Somebody reads while the run lasts: what ends a transaction is recorded too.
#define CRUN_LIVE 2u

// Kinds of record.
#define CRUN_NOTHING 0u
// A VM was made. `number` says which.
#define CRUN_VM 1u
// A slot call of the VMM, as it was answered.
#define CRUN_ASKED 2u
// A slot call that was made on the kernel for the VMM.
#define CRUN_MADE 3u
// The end of a transaction that the calls before it make up.
#define CRUN_COMMIT 4u
// A thread that had made slot calls entered KVM_RUN.
#define CRUN_ENTERED 5u
// The last descriptor of a VM was closed.
#define CRUN_GONE 6u

// Why a transaction was committed.
#define CRUN_BY_RUN 1u
#define CRUN_BY_CALL 2u
#define CRUN_BY_UNMAPPING 3u
#define CRUN_BY_DEVICE 4u
#define CRUN_BY_QUIET 5u
#define CRUN_BY_CLOSE 6u
// The thread never stopped asking, and no memory was missing just then.
#define CRUN_BY_TIME 7u

struct crun_record {
    uint32_t kind;
    // The VM, numbered from 0 over all processes of the run.
    uint32_t vm;
    int32_t process;
    int32_t thread;
    // CLOCK_MONOTONIC; how long the call took. Of a commit: how long vCPUs were held out.
    uint64_t start;
    uint64_t duration;
    // 0 or minus errno.
    int32_t result;
    // 1 or 2: KVM_SET_USER_MEMORY_REGION or …REGION2. Of a commit: why.
    uint32_t form;
    uint32_t slot;
    uint32_t flags;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t guest_memfd_offset;
    int32_t guest_memfd;
    // Of the other vCPUs, those inside KVM_RUN when the call began.
    uint32_t inside;
    // How often the thread had entered KVM_RUN, and all threads of the VM together.
    uint64_t runs;
    uint64_t entries;
    // Of a commit: how many calls were asked and made, and how long the making took.
    uint32_t asked;
    uint32_t made;
    uint64_t applied;
    // When vCPUs were first kept out for it; of a commit.
    uint64_t held_since;
};

struct crun_header {
    uint64_t magic;
    uint32_t mode;
    // Programs that mapped this, VMs that were made, VMs and calls that there was no room for.
    uint32_t attached;
    uint32_t machines;
    uint32_t untracked;
    // The next free record; more than CRUN_RECORD_LIMIT where some were lost.
    uint64_t next;
    // How long a thread that doesn't run vCPUs is quiet before its calls are committed.
    uint64_t quiet;
    // For tests: which kernel call of the run fails, from 1, and how; 0: none.
    uint32_t fault_call;
    int32_t fault_errno;
    uint32_t made;
    // Whether a VMM was stopped, because the kernel refused what it had been promised.
    uint32_t stopped;
    // Signals sent to bring vCPUs out, and interruptions that the VMM was not shown and shown.
    uint64_t kicks;
    uint64_t hidden;
    uint64_t shown;
    uint64_t reserved[22];
};

#define CRUN_FILE_SIZE                                                                             \
    (sizeof(struct crun_header) + (uint64_t)CRUN_RECORD_LIMIT * sizeof(struct crun_record))

_Static_assert(sizeof(struct crun_record) == 128, "two cache lines");
_Static_assert(sizeof(struct crun_header) == 256, "records are aligned");

// Of memory that is being written: how many records were begun, and the kind of one, or
// CRUN_NOTHING. The rest of a record may be read once its kind is there.
static inline uint64_t crun_next(const struct crun_header *header) {
    return __atomic_load_n(&header->next, __ATOMIC_ACQUIRE);
}

static inline uint32_t crun_kind(const struct crun_record *record) {
    return __atomic_load_n(&record->kind, __ATOMIC_ACQUIRE);
}

// What the calling process's descendants leave behind when they end becomes its child.
void crun_adopt_orphans(void);

static inline uint64_t crun_file_size(void) {
    return CRUN_FILE_SIZE;
}

static inline uint64_t crun_magic(void) {
    return CRUN_MAGIC;
}

#endif
