// vhost-user memory tables, some with memory that the guest does not have.
#include "vmm.h"
#include <sys/socket.h>
#include <sys/uio.h>

struct region {
    uint64_t guest_address, size, user_address, offset;
};

// How a message is sent.
enum how { BY_SENDMSG, BY_SPLIT, BY_SEND, BY_WRITE, BY_WRITEV };

static int ends[2];
static unsigned wrong;

// Sends a table of regions, and compares what arrives.
static void send_table(
    enum how how, uint32_t request, uint32_t flags, const struct region *regions, uint32_t count) {
    char bytes[12 + 8 + 8 * 32] = {0}, received[sizeof bytes];
    uint32_t size = 8 + 32 * count, header[3] = {request, flags, size};
    memcpy(bytes, header, sizeof header);
    if (request == 5) memcpy(bytes + 12, &count, sizeof count);
    memcpy(bytes + 20, regions, 32 * count);
    size += 12;
    size_t split = how == BY_SPLIT ? 5 : 12;
    struct iovec vectors[3] = {{bytes, split}, {bytes + split, 20}, {bytes + split + 20, size - split - 20}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 3};
    ssize_t sent = how == BY_SEND ? send(ends[0], bytes, size, 0)
        : how == BY_WRITE         ? write(ends[0], bytes, size)
        : how == BY_WRITEV        ? writev(ends[0], vectors, 3)
                                  : sendmsg(ends[0], &message, 0);
    ssize_t got = read(ends[1], received, sizeof received);
    wrong += sent != size || got != size || memcmp(bytes, received, size) != 0;
}

// The early tables are those at 0x9000000, and 0x8fff000 and 0x9001000. Prints the process and the
// descriptor that they are sent to.
int test_table(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct vm vm, other;
    const struct region nine = {0x9000000, PAGE, 0x1000000, 0};
    const struct region far = {0xa000000, PAGE, 0x2000000, 0};
    const struct region two[] = {{0, LOW_SIZE, 0, 0}, {0x8fff000, 3 * PAGE, 0, 0}};
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
    make_vm(&vm, 1, 0);
    send_table(BY_SPLIT, 37, 9, &nine, 1);
    must(set_slot(&vm, 9, 0, 0x9000000, PAGE, vm.region) == 0, "slot 9");
    send_table(BY_WRITEV, 37, 1, &nine, 1);
    send_table(BY_SENDMSG, 5, 1, two, 2);
    // What is removed may be gone; a reply, and another request, are no tables.
    send_table(BY_SEND, 38, 1, &far, 1);
    send_table(BY_WRITE, 37, 5, &far, 1);
    send_table(BY_WRITE, 36, 1, &far, 1);
    // Of two VMs it could be either's.
    make_vm(&other, 1, 0);
    send_table(BY_SENDMSG, 37, 1, &far, 1);
    close_vm(&other);
    printf("process %d (descriptor %d) wrong %u\n", getpid(), ends[0], wrong);
    close_vm(&vm);
    return 0;
}
