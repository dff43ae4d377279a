// See the header.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ys_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int ys_start(const char *path, char *const arguments[]) {
    // vfork, as posix_spawn does it: copying the page tables of a large process would count as
    // the other program's start.
    int process = vfork();
    if (process < 0) return -errno;
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execv(path, arguments);
        _exit(127);
    }
    return process;
}

static int status_of(int process) {
    int status;
    while (waitpid(process, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int ys_end(int process) {
    kill(process, SIGTERM);
    return status_of(process);
}

int ys_wait(int process) { return status_of(process); }

int ys_is_running(int process) { return waitpid(process, NULL, WNOHANG) == 0; }
