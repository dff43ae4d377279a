// vhost-user messages by which a VMM sends a memory table to a device process. What was asked before
// such a message is committed first, and its regions are recorded after it. The bytes are not touched,
// and a false match only commits early.
#include "preload.h"
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define HEADER_SIZE 12u
// Where the regions of a table begin, behind a count or padding.
#define REGIONS 20
#define REGION_SIZE 32

PRELOAD_REAL(sendmsg, ssize_t, (int file, const struct msghdr *message, int flags),
             SYS_sendmsg, file, message, flags)
PRELOAD_REAL(send, ssize_t, (int file, const void *bytes, size_t size, int flags),
             SYS_sendto, file, bytes, size, flags, 0, 0)
PRELOAD_REAL(write, ssize_t, (int file, const void *bytes, size_t size),
             SYS_write, file, bytes, size)
PRELOAD_REAL(writev, ssize_t, (int file, const struct iovec *vectors, int count),
             SYS_writev, file, vectors, count)

__attribute__((constructor)) static void find_calls(void) {
    PRELOAD_FIND(sendmsg);
    PRELOAD_FIND(send);
    PRELOAD_FIND(write);
    PRELOAD_FIND(writev);
}

// Copies the first bytes of a message, which may be split over vectors. Returns whether there are as many.
static int read_bytes(void *to, size_t size, const struct iovec *vectors, size_t count) {
    size_t have = 0;
    for (size_t i = 0; i < count && i < 64 && have < size; i++) {
        struct iovec vector;
        if (cpreload_read(&vector, &vectors[i], sizeof vector) < 0) return 0;
        size_t part = vector.iov_len < size - have ? vector.iov_len : size - have;
        if (part && cpreload_read((char *)to + have, vector.iov_base, part) < 0) return 0;
        have += part;
    }
    return have == size;
}

// SET_MEM_TABLE of up to 8 regions, ADD_MEM_REG or REM_MEM_REG: of version 1, and not a reply.
static int is_table(const uint32_t *words) {
    if ((words[1] & 7) != 1) return 0;
    if (words[0] == 37 || words[0] == 38) return words[2] == 40;
    return words[0] == 5 && words[2] >= 8 && words[2] <= 8 + 8 * 32 && (words[2] - 8) % 32 == 0;
}

static int is_unix_stream(int file) {
    int domain = 0, type = 0;
    socklen_t size = sizeof domain;
    return getsockopt(file, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX
        && getsockopt(file, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

static int is_message(int file, const struct iovec *vectors, size_t count) {
    uint32_t words[3];
    int before = errno;
    int is = read_bytes(words, HEADER_SIZE, vectors, count) && is_table(words)
        && is_unix_stream(file);
    errno = before;
    return is;
}

// Returns the count of slot changes before the message.
static uint64_t before_message(int file, const struct iovec *vectors, size_t count) {
    if (PRELOAD_RARELY(preload_pending) && !preload_passes_through()
        && is_message(file, vectors, count))
        preload_settle_all(CRUN_BY_TABLE);
    return __atomic_load_n(&preload_slot_changes, __ATOMIC_SEQ_CST);
}

// A message that was sent, and the count of slot changes before it.
struct message {
    struct preload_call call;
    const struct iovec *vectors;
    size_t count, size;
    uint64_t changes;
};

// In a job. With several VMs nobody knows whose memory it is.
static int64_t record_table(const struct preload_call *call) {
    const struct message *own = (const struct message *)call;
    struct preload_vm *vm = 0;
    for (int i = 0; i < PRELOAD_VMS; i++) {
        if (!preload_vms[i].is_used) continue;
        if (vm) return 0;
        vm = &preload_vms[i];
    }
    char bytes[REGIONS + 8 * REGION_SIZE];
    if (!vm || !read_bytes(bytes, own->size, own->vectors, own->count)) return 0;
    uint32_t words[4];
    memcpy(words, bytes, sizeof words);
    size_t regions = (own->size - REGIONS) / REGION_SIZE;
    if (words[0] == 5 && words[3] < regions) regions = words[3];
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    getsockopt(call->descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    for (size_t i = 0; i < regions; i++) {
        struct crun_record *record = preload_begin_record(vm);
        record->result = 0;
        record->table.request = words[0];
        record->table.socket = call->descriptor;
        record->table.peer = peer.pid;
        record->table.is_exact = own->changes % 2 == 0 && own->changes == preload_slot_changes;
        // The guest address and the size come first.
        memcpy(&record->table.guest_phys_addr, bytes + REGIONS + i * REGION_SIZE, 16);
        preload_end_record(record, CRUN_TABLE);
    }
    return 0;
}

static ssize_t after_message(
    int file, const struct iovec *vectors, size_t count, ssize_t sent, uint64_t changes) {
    size_t size = (size_t)sent;
    if (sent < REGIONS + REGION_SIZE || size > REGIONS + 8 * REGION_SIZE
        || (size - REGIONS) % REGION_SIZE || !preload_header)
        return sent;
    struct message own = {{.descriptor = file}, vectors, count, size, changes};
    if (!preload_passes_through() && is_message(file, vectors, count))
        preload_locked(record_table, &own.call);
    return sent;
}

PRELOAD_EXPORT ssize_t sendmsg(int file, const struct msghdr *message, int flags) {
    struct msghdr copy = {0};
    if (PRELOAD_RARELY(preload_pending) && cpreload_read(&copy, message, sizeof copy) < 0)
        copy.msg_iovlen = 0;
    uint64_t changes = before_message(file, copy.msg_iov, copy.msg_iovlen);
    ssize_t sent = preload_real_sendmsg(file, message, flags);
    // What was sent can be read.
    return sent < 0 ? sent : after_message(file, message->msg_iov, message->msg_iovlen, sent, changes);
}

PRELOAD_EXPORT ssize_t send(int file, const void *bytes, size_t size, int flags) {
    struct iovec vector = {(void *)bytes, size};
    uint64_t changes = before_message(file, &vector, 1);
    return after_message(file, &vector, 1, preload_real_send(file, bytes, size, flags), changes);
}

PRELOAD_EXPORT ssize_t write(int file, const void *bytes, size_t size) {
    struct iovec vector = {(void *)bytes, size};
    uint64_t changes = before_message(file, &vector, 1);
    return after_message(file, &vector, 1, preload_real_write(file, bytes, size), changes);
}

PRELOAD_EXPORT ssize_t writev(int file, const struct iovec *vectors, int count) {
    uint64_t changes = before_message(file, vectors, (size_t)count);
    ssize_t sent = preload_real_writev(file, vectors, count);
    return after_message(file, vectors, (size_t)count, sent, changes);
}
