// The sandbox of CLinux: the system calls' numbers and the filter are those of this machine.
#include "clinux_sandbox.h"
#include "portable.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *nothing(void *argument) { return argument; }

static void test_landlock(void) {
    int rules = clinux_landlock_begin();
    if (rules < 0) {
        printf("skipped: Landlock (%s)\n", strerror(-rules));
        return;
    }
    REQUIRE(clinux_landlock_allow(rules, "/proc/self", CLINUX_USE_FILES) == 0);
    REQUIRE(clinux_landlock_enforce(rules) == 0);
    REQUIRE(open("/proc/self/status", O_RDONLY) >= 0);
    REQUIRE(open("/proc/version", O_RDONLY) < 0 && errno == EACCES);
    printf("sandbox: Landlock holds\n");
}

static void test_filter(void) {
    int result = clinux_filter_calls(CLINUX_SERVES, 0);
    if (result < 0) {
        printf("skipped: the filter (%s)\n", strerror(-result));
        return;
    }
    REQUIRE(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
    REQUIRE(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
    const int access = PROT_READ | PROT_EXEC, kind = MAP_PRIVATE | MAP_ANONYMOUS;
    REQUIRE(mmap(0, 4096, access, kind, -1, 0) == MAP_FAILED && errno == EPERM);
    REQUIRE(mmap(0, 4096, PROT_READ, kind, -1, 0) != MAP_FAILED);
    REQUIRE(syscall(SYS_clone3, 0, 0) < 0 && errno == ENOSYS);
    REQUIRE(fork() < 0 && errno == EPERM);
    REQUIRE(chdir("/") < 0 && errno == EPERM);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, 0, nothing, 0) == 0 && pthread_join(thread, 0) == 0);
    printf("sandbox: the filter holds\n");
}

int main(void) {
    REQUIRE(clinux_no_new_privileges() == 0);
    test_landlock();
    test_filter();
}
