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
uint32_t preload_is_cut_off;
uint32_t preload_pending;
uint64_t preload_slot_changes;
struct preload_vm preload_vms[PRELOAD_VMS];
struct preload_vcpu preload_vcpus[PRELOAD_VCPUS];
uint32_t preload_vcpu_end;
int32_t preload_process;

PRELOAD_THREAD int32_t thread_number;

PRELOAD_REAL(ioctl, int, (int file, unsigned long request, void *argument),
             SYS_ioctl, file, request, argument)
PRELOAD_REAL(close, int, (int file), SYS_close, file)
PRELOAD_REAL(fcntl, int, (int file, int command, void *argument), SYS_fcntl, file, command, argument)

void *preload_following(const char *name, void *early) {
    void *found = dlsym(RTLD_NEXT, name);
    return found ? found : early;
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

static int copy(void *ours, void *theirs, size_t size, int writes) {
    struct iovec local = {ours, size}, remote = {theirs, size};
    ssize_t count = writes ? process_vm_writev(preload_process, &local, 1, &remote, 1, 0)
                           : process_vm_readv(preload_process, &local, 1, &remote, 1, 0);
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

// The VMs are the parent's: the kernel refuses the child's slot calls. VMs of the child are new.
static int64_t forget_parent(const struct preload_call *call) {
    (void)call;
    preload_clear_descriptors();
    preload_pending = 0;
    for (int i = 0; i < PRELOAD_VMS; i++) {
        if (preload_vms[i].is_used && preload_vms[i].is_atomic)
            memslots_preload_closed(preload_vms[i].number);
        preload_free_array(&preload_vms[i]);
    }
    memset(preload_vms, 0, sizeof preload_vms);
    memset(preload_vcpus, 0, preload_vcpu_end * sizeof preload_vcpus[0]);
    preload_vcpu_end = 0;
    memset(preload_arriving, 0, sizeof preload_arriving);
    preload_reset_watch();
    __atomic_add_fetch(&preload_header->attached, 1, __ATOMIC_RELAXED);
    return 0;
}

static void in_child(void) {
    thread_number = 0;
    preload_process = getpid();
    preload_on_stack(forget_parent, 0);
    preload_unlock();
}

__attribute__((constructor)) static void begin(void) {
    PRELOAD_FIND(ioctl);
    PRELOAD_FIND(close);
    PRELOAD_FIND(fcntl);
    const char *path = getenv(CRUN_VARIABLE);
    if (!path) return;
    preload_is_cut_off = strncmp(path, CRUN_ATOMICALLY, strlen(CRUN_ATOMICALLY)) == 0;
    if (preload_is_cut_off) path += strlen(CRUN_ATOMICALLY);
    int file = open(path, O_RDWR | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) < 0 || (uint64_t)status.st_size < CRUN_FILE_SIZE) {
        if (!preload_is_cut_off)
            cpreload_print("the record of memslotctl run can't be opened: nothing is recorded");
        if (file >= 0) preload_real_close(file);
        return;
    }
    void *mapped = mmap(0, CRUN_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    preload_real_close(file);
    if (mapped == MAP_FAILED) return;
    struct crun_header *header = (struct crun_header *)mapped;
    if (header->magic != CRUN_MAGIC || preload_make_stack() < 0) {
        munmap(mapped, CRUN_FILE_SIZE);
        return;
    }
    preload_is_atomic = (header->mode & CRUN_ATOMIC) != 0 && memslots_preload_opened;
    preload_is_live = (header->mode & CRUN_LIVE) != 0;
    if (preload_is_atomic) preload_prepare_signal();
    preload_process = getpid();
    pthread_atfork(preload_lock, preload_unlock, in_child);
    __atomic_add_fetch(&header->attached, 1, __ATOMIC_RELAXED);
    preload_header = header;
    preload_is_cut_off = 0;
}
