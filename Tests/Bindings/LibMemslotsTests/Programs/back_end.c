// A block device of a real qemu-storage-daemon, driven by the C interface: the arguments are its
// socket, and a file whose sector N begins with the byte N.
#define _GNU_SOURCE
#include <memslots.h>
#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE 0x200000ul
enum { RAM = 1, DIMM = 2, ENTRIES = 8, DATA = 0x4000, HEADER = 0x3000, STATUS = 0x3010 };

static int files[3];
static unsigned char *ram;
static int lost, released;

#define CHECK(call) check((call), #call, __LINE__)
static void check(int32_t code, const char *call, int line) {
    if (code == MEMSLOTS_OK) return;
    fprintf(stderr, "line %d: %s: %s: %s\n", line, call, memslots_code_name(code), memslots_error_message());
    exit(1);
}

static int file_of(void *context, uint32_t object) {
    assert(context == files);
    return object <= DIMM ? files[object] : -1;
}

static void changed(void *context, uint32_t state, const char *reason) {
    (void)context;
    assert(reason[0]);
    lost += state == MEMSLOTS_BACK_END_LOST;
}

static void release(void *context) { released += context == files; }

struct descriptor { uint64_t address; uint32_t length; uint16_t flags, next; };

// Reads a sector through ring 0, whose parts are at 0, 0x1000 and 0x2000.
static int read_sector(int kick, int call, uint16_t number, uint64_t sector) {
    struct { uint32_t type, priority; uint64_t sector; } header = {0, 0, sector};
    memcpy(ram + HEADER, &header, sizeof header);
    ram[STATUS] = 0xff;
    struct descriptor chain[3] = {
        {HEADER, 16, 1, 1}, {DATA, 512, 3, 2}, {STATUS, 1, 2, 0}};
    memcpy(ram, chain, sizeof chain);
    volatile uint16_t *available = (uint16_t *)(ram + 0x1000), *used = (uint16_t *)(ram + 0x2000);
    available[2 + number % ENTRIES] = 0;
    __atomic_store_n(&available[1], number + 1, __ATOMIC_SEQ_CST);
    uint64_t one = 1;
    assert(write(kick, &one, 8) == 8);
    while (__atomic_load_n(&used[1], __ATOMIC_SEQ_CST) != (uint16_t)(number + 1)) {
        struct pollfd ready = {call, POLLIN, 0};
        assert(poll(&ready, 1, 10000) == 1);
        assert(read(call, &one, 8) == 8);
    }
    assert(ram[STATUS] == 0);
    return ram[DATA];
}

int main(int argc, char **argv) {
    assert(argc == 2);
    for (int i = RAM; i <= DIMM; i++) {
        files[i] = memfd_create("memory", 0);
        assert(ftruncate(files[i], SIZE) == 0);
    }
    ram = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, files[RAM], 0);
    void *dimm = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, files[DIMM], 0);
    memslots_table table;
    CHECK(memslots_open_simulator(NULL, &table));
    memslots_slot slots[3] = {
        {.slot = 0, .size = SIZE, .userspace_address = (uintptr_t)ram, .memory_object = RAM}};
    CHECK(memslots_submit(table, slots, 1, NULL, NULL));

    memslots_back_end end = {0}, other = {0};
    memslots_back_end_offer offer = MEMSLOTS_INIT(memslots_back_end_offer);
    assert(memslots_back_end_open("/nonexistent", -1, 0, &end, &offer) == MEMSLOTS_BACK_END);
    assert(strstr(memslots_error_message(), "connect") && memslots_error_errno() == 2);
    CHECK(memslots_back_end_open(argv[1], -1, 0, &end, &offer));
    assert(offer.ring_count >= 1 && offer.region_limit > 8 && offer.features & 1ull << 32);
    uint64_t capacity = 0;
    CHECK(memslots_back_end_configuration(end, 0, &capacity, sizeof capacity));
    assert(capacity == 64);
    memslots_ring ring = MEMSLOTS_INIT(memslots_ring);
    assert(memslots_back_end_start(end, &ring) == MEMSLOTS_BAD_ARGUMENT);

    memslots_back_end_options options = MEMSLOTS_INIT(memslots_back_end_options);
    options.context = files;
    options.name = "disk";
    options.state_changed = changed;
    options.release = release;
    assert(memslots_back_end_attach(end, table, &options) == MEMSLOTS_BAD_ARGUMENT);
    options.descriptor = file_of;
    CHECK(memslots_back_end_attach(end, table, &options));
    assert(memslots_back_end_attach(end, table, &options) == MEMSLOTS_BAD_ARGUMENT && released == 1);
    released = 0;
    ring.entries = ENTRIES;
    ring.available = 0x1000;
    ring.used = 0x2000;
    ring.kick = eventfd(0, 0);
    ring.call = eventfd(0, 0);
    CHECK(memslots_back_end_start(end, &ring));
    for (uint16_t i = 0; i < 4; i++) assert(read_sector(ring.kick, ring.call, i, i + 7) == i + 7);

    // A split and a DIMM stop no ring. The DIMM's end drains it.
    memslots_back_end_status status = MEMSLOTS_INIT(memslots_back_end_status);
    slots[0].size = SIZE / 2;
    slots[1] = slots[0];
    slots[1].slot = 1;
    slots[1].guest_physical_address = slots[1].memory_offset = SIZE / 2;
    slots[1].userspace_address += SIZE / 2;
    slots[2] = (memslots_slot){
        .slot = 2, .guest_physical_address = 4 * SIZE, .size = SIZE,
        .userspace_address = (uintptr_t)dimm, .memory_object = DIMM};
    CHECK(memslots_submit(table, slots, 3, NULL, NULL));
    CHECK(memslots_back_end_get_status(end, &status));
    assert(status.state == MEMSLOTS_BACK_END_ATTACHED && status.regions == 2 && status.ring_stops == 0);
    assert(read_sector(ring.kick, ring.call, 4, 20) == 20);
    CHECK(memslots_submit(table, slots, 2, NULL, NULL));
    CHECK(memslots_back_end_get_status(end, &status));
    assert(status.regions == 1 && status.ring_stops == 1 && status.messages > 10);
    assert(read_sector(ring.kick, ring.call, 5, 33) == 33);

    // A slot without a file is a veto.
    slots[2].memory_object = 9;
    assert(memslots_submit(table, slots, 3, NULL, NULL) == MEMSLOTS_REJECTED);
    assert(strstr(memslots_error_message(), "disk"));
    assert(memslots_back_end_reconnect(end, other) == MEMSLOTS_BAD_HANDLE);
    assert(memslots_back_end_reconnect(end, end) == MEMSLOTS_BAD_ARGUMENT);
    uint32_t base = 0;
    CHECK(memslots_back_end_stop(end, 0, &base));
    assert(base == 6);
    CHECK(memslots_back_end_close(end));
    assert(memslots_back_end_close(end) == MEMSLOTS_BAD_HANDLE);
    assert(released == 1 && lost == 0);
    slots[2].memory_object = DIMM;
    CHECK(memslots_submit(table, slots, 3, NULL, NULL));
    CHECK(memslots_close(table));
    puts("six sectors, no loss");
    return 0;
}
