/* Every misuse that the interface promises to survive. */
#include <memslots.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition)                                                        \
    do {                                                                         \
        if (!(condition)) {                                                      \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition,          \
                    memslots_error_message());                                   \
            exit(1);                                                             \
        }                                                                        \
    } while (0)

enum { THREADS = 8, ROUNDS = 400, TABLES = 4 };

static memslots_slot page(uint32_t id, uint64_t number) {
    memslots_slot slot;
    memset(&slot, 0, sizeof slot);
    slot.slot = id;
    slot.guest_physical_address = number * 4096;
    slot.size = 4096;
    slot.userspace_address = 0x700000000000 + number * 4096;
    return slot;
}

static void nulls(void) {
    memslots_table table, none = {0};
    memslots_view view;
    memset(&view, 0, sizeof view);
    EXPECT(memslots_open_simulator(NULL, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_open_simulator(NULL, &table) == MEMSLOTS_OK);
    EXPECT(memslots_submit(table, NULL, 1, NULL, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_submit(none, NULL, 0, NULL, NULL) == MEMSLOTS_BAD_HANDLE);
    EXPECT(memslots_get(table, NULL, 0, NULL, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_get_capabilities(table, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_dirty_log(table, 0, 0, 0, 0, false, NULL, 0, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_translate(table, 0, 0, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_reader_open(table, "x", NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_reader_enter((memslots_reader){0}, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_reader_leave(NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_reader_leave(&view) == MEMSLOTS_NOT_INSIDE);
    EXPECT(memslots_view_translate(NULL, 0, 0, 1, NULL, 0, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_view_translate(&view, 0, 0, 1, NULL, 0, &(size_t){0}) == MEMSLOTS_NOT_INSIDE);
    EXPECT(memslots_vcpu_open(table, NULL, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_vcpu_run((memslots_vcpu){0}, NULL) == MEMSLOTS_BAD_HANDLE);
    EXPECT(memslots_hook_add(table, NULL, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_observe(table, NULL, NULL, NULL, NULL, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_guarded(table, NULL, NULL, NULL, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_receipt_operations(NULL, NULL, 0, NULL) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_receipt_warning(NULL, 0) == NULL);
    EXPECT(memslots_receipt_hold_reason(NULL) == NULL);
    memslots_receipt_release(NULL);
    EXPECT(memslots_simulator_fail(table, 0, 0, 1) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_simulator_fail(table, 0, 12, 0) == MEMSLOTS_BAD_ARGUMENT);
    EXPECT(memslots_close(table) == MEMSLOTS_OK);
    EXPECT(memslots_close(table) == MEMSLOTS_BAD_HANDLE);
}

static memslots_table shared[TABLES];
static pthread_mutex_t place[TABLES];

static memslots_table current(int which) {
    pthread_mutex_lock(&place[which]);
    memslots_table table = shared[which];
    pthread_mutex_unlock(&place[which]);
    return table;
}

/* Submits to, reads and closes tables that the other threads use and close as well. */
static void *use(void *seed) {
    unsigned random = (unsigned)(uintptr_t)seed * 2654435761u + 1;
    for (int round = 0; round < ROUNDS; round++) {
        random = random * 1103515245u + 12345u;
        int which = (int)(random >> 16) % TABLES;
        memslots_table table = current(which);
        memslots_slot slots[2] = {page(0, random % 97), page(1, 100 + random % 89)}, got[4];
        memslots_receipt receipt = MEMSLOTS_INIT(memslots_receipt);
        size_t count = 0;
        int32_t code = memslots_submit(table, slots, 2, NULL, &receipt);
        EXPECT(code == MEMSLOTS_OK || code == MEMSLOTS_BAD_HANDLE);
        memslots_receipt_release(&receipt);
        code = memslots_get(table, got, 4, &count, NULL);
        EXPECT(code == MEMSLOTS_BAD_HANDLE || (code == MEMSLOTS_OK && (count == 2 || count == 0)));
        memslots_reader reader;
        memslots_view view;
        memslots_span span;
        if (memslots_reader_open(table, "hostile", &reader) == MEMSLOTS_OK) {
            EXPECT(memslots_reader_enter(reader, &view) == MEMSLOTS_OK);
            code = memslots_view_translate(&view, 0, got[0].guest_physical_address, 16, &span, 1,
                                           &count);
            EXPECT(code == MEMSLOTS_OK || code == MEMSLOTS_NOT_MAPPED);
            EXPECT(memslots_reader_leave(&view) == MEMSLOTS_OK);
            EXPECT(memslots_reader_leave(&view) == MEMSLOTS_NOT_INSIDE);
            EXPECT(memslots_reader_close(reader) == MEMSLOTS_OK);
        }
        if (round % 16 == 15) {
            code = memslots_close(table);
            EXPECT(code == MEMSLOTS_OK || code == MEMSLOTS_BAD_HANDLE);
            if (code == MEMSLOTS_OK) {
                pthread_mutex_lock(&place[which]);
                EXPECT(memslots_open_simulator(NULL, &shared[which]) == MEMSLOTS_OK);
                pthread_mutex_unlock(&place[which]);
            }
        }
    }
    return NULL;
}

int main(void) {
    nulls();
    for (int i = 0; i < TABLES; i++) {
        pthread_mutex_init(&place[i], NULL);
        EXPECT(memslots_open_simulator(NULL, &shared[i]) == MEMSLOTS_OK);
    }
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, use, (void *)(uintptr_t)i);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < TABLES; i++) EXPECT(memslots_close(shared[i]) == MEMSLOTS_OK);
    puts("survived");
    return 0;
}
