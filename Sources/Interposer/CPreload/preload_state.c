// The start of the library, and the state that its parts share.
#include "preload.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

struct crun_header *preload_header;
uint32_t preload_is_atomic;
uint32_t preload_is_live;
uint32_t preload_pending;
struct preload_vm preload_vms[PRELOAD_VMS];
struct preload_vcpu preload_vcpus[PRELOAD_VCPUS];
uint32_t preload_vcpu_end;
int (*preload_real_ioctl)(int, unsigned long, ...);
int (*preload_real_close)(int);
int (*preload_real_fcntl)(int, int, ...);
pthread_mutex_t preload_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t preload_committed = PTHREAD_COND_INITIALIZER;

PRELOAD_THREAD int passes_through;
PRELOAD_THREAD int32_t thread_number;
// The thread's signal mask while it holds the lock.
PRELOAD_THREAD uint64_t mask_outside;

// Also called for a call that comes before the constructor.
void preload_resolve(void) {
    preload_real_close = (int (*)(int))dlsym(RTLD_NEXT, "close");
    preload_real_fcntl = (int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl");
    __atomic_store_n(
        &preload_real_ioctl, (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl"),
        __ATOMIC_RELEASE);
}

int preload_passes_through(void) {
    return passes_through;
}

void cpreload_pass_through(int passes) {
    passes_through = passes;
}

int32_t preload_thread(void) {
    if (!thread_number) thread_number = (int32_t)syscall(SYS_gettid);
    return thread_number;
}

uint64_t preload_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void cpreload_print(const char *text) {
    static const char name[] = "memslots-preload: ";
    struct iovec parts[3] = {
        {(void *)name, sizeof name - 1}, {(void *)text, strlen(text)}, {(void *)"\n", 1}};
    if (writev(STDERR_FILENO, parts, 3) < 0) return;
}

void cpreload_stop(const char *message) {
    cpreload_print(message);
    if (preload_header) __atomic_store_n(&preload_header->stopped, 1, __ATOMIC_RELEASE);
    // No handler of the VMM's runs: it would continue with slots that it does not have.
    _exit(70);
}

void preload_lock(void) {
    uint64_t all = ~0ull;
    // The system call, because the library replaces glibc's function.
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask_outside, sizeof all);
    pthread_mutex_lock(&preload_mutex);
}

void preload_unlock(void) {
    pthread_mutex_unlock(&preload_mutex);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask_outside, 0, sizeof mask_outside);
}

static int copy(void *ours, void *theirs, size_t size, int writes) {
    struct iovec local = {ours, size}, remote = {theirs, size};
    ssize_t count = writes ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
                           : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (count == (ssize_t)size) return 0;
    if (count >= 0 || (errno != EPERM && errno != ENOSYS)) return -EFAULT;
    // A sandbox forbids the call. The address is then trusted, as in any other library.
    memcpy(writes ? theirs : ours, writes ? ours : theirs, size);
    return 0;
}

int cpreload_read(void *to, const void *from, size_t size) {
    return copy(to, (void *)from, size, 0);
}

int preload_write(void *to, const void *from, size_t size) {
    return copy((void *)from, to, size, 1);
}

// The VMs belong to the parent: the kernel refuses slot calls of the child. VMs that the child
// creates are followed anew.
static void in_child(void) {
    thread_number = 0;
    preload_clear_descriptors();
    preload_pending = 0;
    for (int i = 0; i < PRELOAD_VMS; i++) {
        if (preload_vms[i].is_used && preload_vms[i].is_atomic)
            memslots_preload_closed(preload_vms[i].number);
    }
    memset(preload_vms, 0, sizeof preload_vms);
    memset(preload_vcpus, 0, preload_vcpu_end * sizeof preload_vcpus[0]);
    preload_vcpu_end = 0;
    pthread_cond_init(&preload_committed, 0);
    preload_arriving = 0;
    preload_reset_watch();
    if (preload_header) __atomic_add_fetch(&preload_header->attached, 1, __ATOMIC_RELAXED);
    preload_unlock();
}

__attribute__((constructor)) static void begin(void) {
    preload_resolve();
    const char *path = getenv(CRUN_VARIABLE);
    if (!path) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) < 0 || (uint64_t)status.st_size < CRUN_FILE_SIZE) {
        cpreload_print("the record of memslotctl run can't be opened: nothing is recorded");
        if (file >= 0) preload_real_close(file);
        return;
    }
    void *mapped = mmap(0, CRUN_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    preload_real_close(file);
    if (mapped == MAP_FAILED) return;
    struct crun_header *header = (struct crun_header *)mapped;
    if (header->magic != CRUN_MAGIC) {
        munmap(mapped, CRUN_FILE_SIZE);
        return;
    }
    preload_is_atomic = (header->mode & CRUN_ATOMIC) != 0 && memslots_preload_opened;
    preload_is_live = (header->mode & CRUN_LIVE) != 0;
    if (preload_is_atomic) preload_prepare_signal();
    pthread_atfork(preload_lock, preload_unlock, in_child);
    __atomic_add_fetch(&header->attached, 1, __ATOMIC_RELAXED);
    preload_header = header;
}
