// See the header.
#include "CRunRecord.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

uint64_t crun_next(const struct crun_header *header) {
    return __atomic_load_n(&header->next, __ATOMIC_ACQUIRE);
}

uint32_t crun_kind(const struct crun_record *record) {
    return __atomic_load_n(&record->kind, __ATOMIC_ACQUIRE);
}

void crun_adopt_orphans(void) {
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

int crun_is_ignored(int signal) {
    // The system call, because the C library hides its own two signals.
    struct {
        void (*handler)(int);
        unsigned long words[3];
    } action = {0};
    return syscall(SYS_rt_sigaction, signal, 0, &action, 8ul) == 0 && action.handler == SIG_IGN;
}

uint64_t crun_file_size(void) { return CRUN_FILE_SIZE; }

uint64_t crun_magic(void) { return CRUN_MAGIC; }
