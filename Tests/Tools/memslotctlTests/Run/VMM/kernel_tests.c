// Calls that only the kernel can decide, and other users of memory: guest_memfd, KVM's own pages,
// devices.
#include "vmm.h"
#include <sys/socket.h>
#include <sys/uio.h>

struct region2 {
    uint32_t slot, flags;
    uint64_t guest_phys_addr, memory_size, userspace_addr, guest_memfd_offset;
    uint32_t guest_memfd, pad1;
    uint64_t pad2[14];
};

static int set_slot2(struct vm *vm, uint32_t slot, uint64_t address, uint64_t size, int file,
    uint64_t offset) {
    struct region2 words = {.slot = slot, .flags = 4, .guest_phys_addr = address,
        .memory_size = size, .userspace_addr = (uint64_t)vm->region, .guest_memfd_offset = offset,
        .guest_memfd = (uint32_t)file};
    return ioctl(vm->descriptor, _IOW(KVMIO, 0x49, struct region2), &words) < 0 ? errno : 0;
}

// Slots on a guest_memfd are created, split and moved.
int test_memfd(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct vm vm;
    make_vm(&vm, 1, 0);
    struct {
        uint64_t size, flags, reserved[6];
    } words = {.size = REGION_SIZE};
    int file = ioctl(vm.descriptor, _IOWR(KVMIO, 0xd4, words), &words);
    if (file < 0) {
        printf("no guest_memfd here\n");
        return 77;
    }
    int copy = dup(file);
    start(&vm);
    printf("create %d\n", set_slot2(&vm, 3, 0x400000, REGION_SIZE, file, 0));
    printf("same %d\n", set_slot2(&vm, 3, 0x400000, REGION_SIZE, file, 0));
    printf("bound %d\n", set_slot2(&vm, 4, 0x600000, PAGE, file, 0));
    printf("delete %d\n", set_slot2(&vm, 3, 0x400000, 0, -1, 0));
    printf("lower %d\n", set_slot2(&vm, 3, 0x400000, PAGE, file, 0));
    printf("upper %d\n", set_slot2(&vm, 4, 0x400000 + PAGE, PAGE, file, PAGE));
    printf("past the end %d\n", set_slot2(&vm, 5, 0x600000, PAGE, file, REGION_SIZE));
    printf("wrong file %d\n", set_slot2(&vm, 5, 0x600000, PAGE, vm.kvm, 0));
    printf("by a copy %d\n", set_slot2(&vm, 5, 0x600000, PAGE, copy, 2 * PAGE));
    printf("closed file %d\n", set_slot2(&vm, 6, 0x700000, PAGE, 999, 2 * PAGE));
    close(file);
    printf("delete the lower %d\n", set_slot2(&vm, 3, 0x400000, 0, -1, 0));
    stop(&vm);
    return 0;
}

// Slots on pages that KVM may reserve, which depends on the host. The TSS and the identity map are
// where QEMU places them.
int test_own(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct vm vm;
    make_vm(&vm, 0, 0);
    uint64_t identity = 0xfeffc000;
    must(ioctl(vm.descriptor, KVM_SET_TSS_ADDR, 0xfeffd000) == 0, "KVM_SET_TSS_ADDR");
    must(ioctl(vm.descriptor, KVM_SET_IDENTITY_MAP_ADDR, &identity) == 0, "the identity map");
    must(ioctl(vm.descriptor, KVM_CREATE_IRQCHIP, 0) == 0, "KVM_CREATE_IRQCHIP");
    add_vcpu(&vm);
    start(&vm);
    const uint64_t pages[] = {
        0xfeffc000, 0xfeffd000, 0xfefff000, 0xfee00000, 0xfee01000, 0xfffbc000};
    for (unsigned i = 0; i < sizeof pages / sizeof *pages; i++) {
        int made = set_slot(&vm, 5, 0, pages[i], PAGE, vm.region);
        int moved = made ? 0 : set_slot(&vm, 5, 0, 0x8000000, PAGE, vm.region);
        int deleted = made ? 0 : set_slot(&vm, 5, 0, 0x8000000, 0, vm.region);
        printf("%#lx %d %d %d\n", (unsigned long)pages[i], made, moved, deleted);
    }
    // In the middle of a change: the calls after it belong to the same transaction.
    for (int i = 0; i < 20; i++) {
        must(set_slot(&vm, 1, 0, REGION, 0, vm.region) == 0, "deletion");
        int made = set_slot(&vm, 5, 0, 0xfee00000, PAGE, vm.region);
        must(set_slot(&vm, 1, 0, REGION, REGION_SIZE, vm.region) == 0, "whole again");
        if (!made) set_slot(&vm, 5, 0, 0xfee00000, 0, vm.region);
    }
    stop(&vm);
    printf("lost %lu mmio %lu\n", lost(&vm), vm.vcpus[0].mmio);
    return 0;
}

// The kernel's result for slot 9's dirty log, without any library: ENOENT without a slot.
static int raw_slot(struct vm *vm) {
    uint64_t words[64];
    struct kvm_dirty_log log = {.slot = 9, .dirty_bitmap = words};
    return syscall(SYS_ioctl, vm->descriptor, KVM_GET_DIRTY_LOG, &log) < 0 ? errno : 0;
}

// A child by vfork shares the memory, but not the descriptors: what it closes is not closed here.
// Prints whether the kernel has a slot after the call, which --atomic defers.
int test_vfork(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct vm vm;
    make_vm(&vm, 1, 0);
    pid_t child = vfork();
    if (child == 0) {
        close(vm.descriptor);
        close(vm.vcpus[0].descriptor);
        _exit(0);
    }
    waitpid(child, 0, 0);
    must(set_slot(&vm, 9, KVM_MEM_LOG_DIRTY_PAGES, 0x9000000, PAGE, vm.region) == 0, "slot 9");
    printf("after vfork %d\n", raw_slot(&vm));
    close_vm(&vm);
    return 0;
}

// Calls of VFIO, iommufd and vhost, on the device if it exists and otherwise on one that refuses
// them. The kernel has the slot before each of them, and not before another call.
int test_device(int argc, char **argv) {
    (void)argc;
    (void)argv;
    static const struct {
        const char *name, *path;
        unsigned long request;
    } calls[] = {
        {"vhost", "/dev/vhost-net", _IOW(0xaf, 0x03, uint64_t)},
        {"vsock", "/dev/vhost-vsock", _IOW(0xaf, 0x03, uint64_t)},
        {"vfio map", "/dev/vfio/vfio", _IO(';', 100 + 13)},
        {"vfio unmap", "/dev/vfio/vfio", _IO(';', 100 + 14)},
        {"iommufd", "/dev/iommu", _IO(';', 0x85)},
        {"other", "/dev/null", FIONREAD},
    };
    struct vm vm;
    make_vm(&vm, 1, 0);
    start(&vm);
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        int device = open(calls[i].path, O_RDWR | O_CLOEXEC);
        fprintf(stderr, "%s: %s\n", calls[i].name, device < 0 ? "played" : calls[i].path);
        if (device < 0) device = open("/dev/null", O_RDWR | O_CLOEXEC);
        must(set_slot(&vm, 9, KVM_MEM_LOG_DIRTY_PAGES, 0x9000000, PAGE, vm.region) == 0, "slot 9");
        int before = raw_slot(&vm);
        ioctl(device, calls[i].request, 0);
        printf("%s: before %d after %d\n", calls[i].name, before, raw_slot(&vm));
        must(set_slot(&vm, 9, 0, 0x9000000, 0, vm.region) == 0, "its end");
        // The call uses memory, so it commits the deferred calls.
        struct kvm_dirty_log log = {.slot = 1};
        ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log);
        close(device);
    }
    stop(&vm);
    printf("lost %lu mmio %lu\n", lost(&vm), vm.vcpus[0].mmio);
    return 0;
}

// Sends a message by one of the calls, its header split after `split` bytes where the call has vectors.
static ssize_t send_by(const char *name, int file, char *bytes, size_t size) {
    size_t split = strcmp(name, "split") == 0 ? 5 : 12;
    struct iovec vectors[2] = {{bytes, split}, {bytes + split, size - split}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
    if (strcmp(name, "send") == 0) return send(file, bytes, size, 0);
    if (strcmp(name, "write") == 0 || strcmp(name, "pipe") == 0) return write(file, bytes, size);
    if (strcmp(name, "writev") == 0) return writev(file, vectors, 2);
    if (strcmp(name, "short") == 0) return write(file, bytes, 11);
    return sendmsg(file, &message, 0);
}

// vhost-user messages. The kernel has the slot before each memory table, and not before other bytes.
int test_message(int argc, char **argv) {
    (void)argc;
    (void)argv;
    static const struct {
        const char *name;
        uint32_t request, flags, size;
    } messages[] = {
        {"sendmsg", 37, 1, 40}, {"split", 5, 9, 8 + 2 * 32}, {"send", 38, 9, 40},
        {"write", 5, 1, 8}, {"writev", 37, 9, 40},
        {"reply", 37, 5, 40}, {"version", 37, 2, 40}, {"size", 5, 1, 8 + 9 * 32},
        {"request", 36, 1, 40}, {"datagram", 37, 1, 40}, {"pipe", 37, 1, 40}, {"short", 37, 1, 40},
    };
    struct vm vm;
    make_vm(&vm, 1, 0);
    start(&vm);
    for (unsigned i = 0; i < sizeof messages / sizeof *messages; i++) {
        int ends[2];
        int type = strcmp(messages[i].name, "datagram") == 0 ? SOCK_DGRAM : SOCK_STREAM;
        if (strcmp(messages[i].name, "pipe") == 0) {
            must(pipe(ends) == 0, "pipe");
            int reader = ends[0];
            ends[0] = ends[1];
            ends[1] = reader;
        } else {
            must(socketpair(AF_UNIX, type, 0, ends) == 0, "socketpair");
        }
        char bytes[12 + 8 + 9 * 32] = {0};
        char received[sizeof bytes];
        memcpy(bytes, &messages[i].request, 12);
        must(set_slot(&vm, 9, KVM_MEM_LOG_DIRTY_PAGES, 0x9000000, PAGE, vm.region) == 0, "slot 9");
        int before = raw_slot(&vm);
        ssize_t sent = send_by(messages[i].name, ends[0], bytes, 12 + messages[i].size);
        int after = raw_slot(&vm);
        ssize_t got = read(ends[1], received, sizeof received);
        printf("%s: before %d after %d sent %d\n", messages[i].name, before, after,
               sent > 0 && got == sent && memcmp(bytes, received, (size_t)got) == 0);
        must(set_slot(&vm, 9, 0, 0x9000000, 0, vm.region) == 0, "its end");
        struct kvm_dirty_log log = {.slot = 1};
        ioctl(vm.descriptor, KVM_GET_DIRTY_LOG, &log);
        close(ends[0]);
        close(ends[1]);
    }
    stop(&vm);
    printf("lost %lu mmio %lu\n", lost(&vm), vm.vcpus[0].mmio);
    return 0;
}
