// Yardsticks: small C functions of our own for the same work, so that a benchmark can give a ratio
// from one run. The project itself uses none of them.
#ifndef YARDSTICKS_H
#define YARDSTICKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Nanoseconds of CLOCK_MONOTONIC.
uint64_t ys_now(void);

// Enters and leaves a read section `count` times, by a sequentially consistent store to the epoch of
// the calling thread. Returns a sum of what was read.
uint64_t ys_enter_and_leave(size_t count);

// MARK: - Passes over whole slot arrays: the least that comparing and validating them can cost

// A slot in 40 bytes. As an argument of KVM_SET_USER_MEMORY_REGION, a size of 0 deletes.
struct ys_slot {
    uint32_t id;
    uint32_t flags;
    uint64_t guest;
    uint64_t size;
    uint64_t host;
    uint64_t memory;
};

enum ys_change { YS_SAME, YS_ADDED, YS_REMOVED, YS_MOVED, YS_REFLAGGED, YS_REPLACED, YS_KINDS };

// Compares arrays sorted by id in one pass; one word a change: `operations` has room for both.
// `changes` gets the number of each of the YS_KINDS.
void ys_merge(
    const struct ys_slot *old, size_t old_count, const struct ys_slot *new, size_t new_count,
    uint64_t *operations, uint64_t *changes);

// Validates alignment, overflow, unique ids and overlap; sorts an unsorted array by guest address.
// `scratch` has room for 2 * count + (1 << 20) / 64 + 2048 words. Returns the number of faults.
uint64_t ys_validate(const struct ys_slot *slots, size_t count, uint64_t *scratch);

// Sorts by id, below 2^22, into `result` (radix sort). `scratch` has room as for ys_validate.
void ys_sort_by_id(
    const struct ys_slot *slots, size_t count, struct ys_slot *result, uint64_t *scratch);

// MARK: - Fast known ways from a guest address to a host address

// Sorted, disjoint ranges of guest memory with the indexes of all searches.
struct ys_table;

// Copies `count` ranges of whole pages, sorted by start, below 2^39. NULL without memory.
struct ys_table *ys_table_make(
    const uint64_t *starts, const uint64_t *sizes, const uint64_t *hosts, size_t count);
void ys_table_free(struct ys_table *table);

// Whether nodes are compared by AVX-512 on this machine, instead of a loop.
int ys_has_avx512(void);

enum ys_search {
    // A walk of three levels with an entry for each page, as a processor's page table. It takes 8
    // bytes a page, and 4 KiB at least for each 2 MiB that are not empty.
    YS_RADIX,
    // The range of the previous translation first, then nodes of 16 keys.
    YS_LAST_HIT,
};

// Translates `count` addresses and returns the sum of the host addresses. `is_chained`: each address
// depends on the previous translation, by a mask of 0, so that the processor can't overlap them.
uint64_t ys_translate(
    enum ys_search search, const struct ys_table *table, const uint64_t *addresses, size_t count,
    bool is_chained);

struct ys_segment {
    uint64_t host;
    uint64_t size;
};

// Translates `count` ranges, given as start, size, start, size…, by YS_LAST_HIT. Returns the number
// of segments; 0 if a part of a range has no memory or there are more than `most`.
size_t ys_scatter(
    const struct ys_table *table, const uint64_t *ranges, size_t count, struct ys_segment *segments,
    size_t most);

// MARK: - A server that echoes lines, and the client of both servers

// Starts the echo server as a child process with blocking reads and writes on one end of a socket
// pair. Returns its process id, and the other end in `descriptor`, or minus errno.
int ys_echo_start(int *descriptor);

// Sends `count` lines, at most `depth` in flight. Returns the total nanoseconds, or minus errno.
int64_t ys_pipelined(
    int descriptor, const uint8_t *line, size_t length, size_t count, size_t depth);

// Sends bytes and reads one line. Returns its length without the newline, or minus errno.
int64_t ys_exchange(
    int descriptor, const uint8_t *bytes, size_t length, uint8_t *reply, size_t room);

// As ys_exchange, but reads while it writes, for a server that replies before it has read all.
int64_t ys_exchange_large(
    int descriptor, const uint8_t *bytes, size_t length, uint8_t *reply, size_t room);

// MARK: - Slot operations, with and without vCPUs that are held around them

// Applies slots as regions one after the other. Returns 0, or minus the first errno.
int ys_set_regions(int vm, const struct ys_slot *regions, size_t count);

// Lets a vCPU run, or wait for its start signal (SIPI). Returns 0, or minus errno.
int ys_set_runnable(int vcpu, int is_runnable);

// vCPUs on threads of their own. All are signalled, and then waited for: by a loop alone, or by a
// loop and then by a futex.
struct ys_vcpus;

// Adopts `count` vCPUs with their shared pages. After an exit of the guest a thread sleeps for
// `handler` microseconds. `spins`: threads and the caller wait by loops alone. NULL without memory;
// released by free().
struct ys_vcpus *ys_vcpus_make(
    int vm, const int *vcpus, void *const *shared_pages, size_t count, unsigned handler, int spins);

// Starts a thread for each. Returns 0, or minus errno.
int ys_vcpus_start(struct ys_vcpus *vcpus);

// Ends the threads, so that no guest runs while something else is measured.
void ys_vcpus_stop(struct ys_vcpus *vcpus);

// The nanoseconds of one blackout and of the operations within it.
struct ys_blackout {
    uint64_t total;
    uint64_t calls;
    // 0, or minus the errno of an operation.
    int status;
};

// Holds all vCPUs, applies the regions and resumes them.
struct ys_blackout ys_hold(struct ys_vcpus *vcpus, const struct ys_slot *regions, size_t count);

#endif
