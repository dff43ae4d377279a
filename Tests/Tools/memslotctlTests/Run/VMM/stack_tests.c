// How deep each function goes on its caller's stack, which QEMU 7.2 depends on.
#include "vmm.h"
#include <stdarg.h>

#define SIZE 65536
static uint8_t painted[SIZE] __attribute__((aligned(64)));

// Calls `function` with six words on the stack below `top`.
long call_on(void *function, const long *words, void *top);
__asm__(
    ".text\n"
    "call_on:\n"
    "    push %rbx\n"
    "    mov %rsp, %rbx\n"
    "    mov %rdi, %r11\n"
    "    mov %rsi, %r10\n"
    "    mov %rdx, %rsp\n"
    "    mov (%r10), %rdi\n"
    "    mov 8(%r10), %rsi\n"
    "    mov 16(%r10), %rdx\n"
    "    mov 24(%r10), %rcx\n"
    "    mov 32(%r10), %r8\n"
    "    mov 40(%r10), %r9\n"
    "    xor %eax, %eax\n"
    "    call *%r11\n"
    "    mov %rbx, %rsp\n"
    "    pop %rbx\n"
    "    ret\n");

// Prints the name and the number of bytes below the caller's frame that the call changed.
static long measured(const char *name, void *function, int count, ...) {
    long words[6] = {0};
    va_list list;
    va_start(list, count);
    for (int i = 0; i < count; i++) words[i] = va_arg(list, long);
    va_end(list);
    memset(painted, 0xa5, SIZE);
    long result = call_on(function, words, painted + SIZE);
    int low = 0;
    while (painted[low] == 0xa5) low++;
    printf("%s %d\n", name, SIZE - low);
    return result;
}

static void change_slot(const char *name, int vm, uint32_t slot, uint64_t size, void *memory) {
    struct kvm_userspace_memory_region words = {.slot = slot, .guest_phys_addr = slot * 0x100000,
        .memory_size = size, .userspace_addr = (uint64_t)memory};
    must(measured(name, ioctl, 3, (long)vm, (long)KVM_SET_USER_MEMORY_REGION, &words) == 0, name);
}

int test_stack(int argc, char **argv) {
    (void)argc;
    (void)argv;
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    must(kvm >= 0, "/dev/kvm");
    int vm = (int)measured("create-vm", ioctl, 3, (long)kvm, (long)KVM_CREATE_VM, 0l);
    int vcpu = (int)measured("create-vcpu", ioctl, 3, (long)vm, (long)KVM_CREATE_VCPU, 0l);
    must(vm >= 0 && vcpu >= 0, "a VM and a vCPU");
    struct kvm_run *run = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    must(run != MAP_FAILED, "mmap of a vCPU");
    run->immediate_exit = 1;
    uint8_t *memory = (uint8_t *)measured("mmap", mmap, 6, 0l, 0x40000l,
        (long)(PROT_READ | PROT_WRITE), (long)(MAP_PRIVATE | MAP_ANONYMOUS), -1l, 0l);
    must(memory != MAP_FAILED, "mmap");
    for (uint32_t slot = 1; slot < 9; slot++)
        change_slot("create-slot", vm, slot, 0x4000, memory + 0x4000 * slot);
    measured("run", ioctl, 3, (long)vcpu, (long)KVM_RUN, 0l);
    struct kvm_regs regs;
    must(measured("regs", ioctl, 3, (long)vcpu, (long)KVM_GET_REGS, &regs) == 0, "KVM_GET_REGS");
    struct {
        uint32_t length;
        uint8_t set[8];
    } mask = {.length = 8};
    must(measured("mask", ioctl, 3, (long)vcpu, (long)KVM_SET_SIGNAL_MASK, &mask) == 0, "the mask");
    // Each of these commits what was asked before it.
    change_slot("delete-slot", vm, 1, 0, memory);
    uint64_t words[64];
    struct kvm_dirty_log log = {.slot = 2, .dirty_bitmap = words};
    measured("dirty-log", ioctl, 3, (long)vm, (long)KVM_GET_DIRTY_LOG, &log);
    change_slot("delete-slot", vm, 2, 0, memory);
    struct kvm_enable_cap cap = {.cap = KVM_CAP_EXCEPTION_PAYLOAD};
    measured("enable-cap", ioctl, 3, (long)vm, (long)KVM_ENABLE_CAP, &cap);
    change_slot("delete-slot", vm, 3, 0, memory);
    measured("run", ioctl, 3, (long)vcpu, (long)KVM_RUN, 0l);
    change_slot("delete-slot", vm, 4, 0, memory);
    must(measured("madvise", madvise, 3, memory + 0x10000, 0x4000l, (long)MADV_DONTNEED) == 0, "4");
    change_slot("delete-slot", vm, 5, 0, memory);
    must(measured("munmap", munmap, 2, memory + 0x14000, 0x4000l) == 0, "munmap");
    change_slot("delete-slot", vm, 6, 0, memory);
    must(measured("mremap", mremap, 4, memory + 0x18000, 0x4000l, 0x2000l, 0l) != -1, "mremap");
    change_slot("delete-slot", vm, 7, 0, memory);
    must(measured("mmap-fixed", mmap, 6, memory + 0x1c000, 0x4000l, (long)PROT_READ,
        (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), -1l, 0l) != -1, "mmap");
    int copy = (int)measured("dup", dup, 1, (long)vm);
    measured("dup2", dup2, 2, (long)copy, 90l);
    measured("dup3", dup3, 3, (long)copy, 91l, (long)O_CLOEXEC);
    measured("fcntl", fcntl, 3, (long)copy, (long)F_DUPFD, 92l);
    measured("close-range", close_range, 3, 90l, 91l, 0l);
    change_slot("delete-slot", vm, 8, 0, memory);
    measured("close", close, 1, (long)vcpu);
    measured("close", close, 1, 92l);
    measured("other", ioctl, 3, 0l, (long)FIONREAD, words);
    sigset_t set;
    sigfillset(&set);
    measured("sigmask", pthread_sigmask, 3, (long)SIG_BLOCK, &set, 0l);
    measured("sigprocmask", sigprocmask, 3, (long)SIG_UNBLOCK, &set, 0l);
    return 0;
}
