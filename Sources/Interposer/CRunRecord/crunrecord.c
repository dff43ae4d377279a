// See the header.
#include "CRunRecord.h"
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

uint64_t crun_next(const struct crun_header *header) {
    return __atomic_load_n(&header->next, __ATOMIC_ACQUIRE);
}

uint32_t crun_kind(const struct crun_record *records, uint64_t room, uint64_t index) {
    uint32_t kind = __atomic_load_n(&records[crun_place(room, index)].kind, __ATOMIC_ACQUIRE);
    uint32_t lap = crun_lap(room, index);
    if (kind >> 8 == lap) return kind & 0xff;
    // The place still has the record before, whose successor was begun and has not cleared it yet.
    return kind >> 8 == ((lap - 1) & 0xffffff) ? CRUN_NOTHING : CRUN_OVERWRITTEN;
}

uint32_t crun_read(const struct crun_record *records, uint64_t room, uint64_t index,
                   struct crun_record *copy) {
    uint32_t before = crun_kind(records, room, index);
    *copy = records[crun_place(room, index)];
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint32_t after = crun_kind(records, room, index);
    copy->kind = before;
    return before == after ? before : CRUN_OVERWRITTEN;
}

void crun_adopt_orphans(void) { prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

int crun_fork(void) { return fork(); }

int crun_open_process(int process) { return (int)syscall(SYS_pidfd_open, process, 0); }

int crun_names_variable(const void *bytes, uint64_t count) {
    return memmem(bytes, count, CRUN_VARIABLE, sizeof CRUN_VARIABLE - 1) != 0;
}

int crun_is_ignored(int signal) {
    // The system call, because the C library hides its own two signals.
    struct {
        void (*handler)(int);
        unsigned long words[3];
    } action = {0};
    return syscall(SYS_rt_sigaction, signal, 0, &action, 8ul) == 0 && action.handler == SIG_IGN;
}

void crun_set_off(struct crun_header *header, uint32_t is_off) {
    __atomic_store_n(&header->is_off, is_off, __ATOMIC_RELAXED);
}

uint64_t crun_file_size(void) { return CRUN_FILE_SIZE; }

uint64_t crun_magic(void) { return CRUN_MAGIC; }
