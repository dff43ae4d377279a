// The search of CReading against a linear search: every width, number of levels and way to search.
#include "creading_search.h"
#include "portable.h"

#include <stdint.h>

static uint64_t state = 88172645463325252u;
static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Returns how many addresses were compared; 0 where this processor has no such search.
static size_t check(size_t count, enum creading_width width, const char *way) {
    const size_t bytes = width == CREADING_NARROW ? 4 : 8, room = CREADING_NODE_BYTES / bytes;
    const uint64_t end = width == CREADING_NARROW ? INT32_MAX - 1 : 1ull << 52;
    int64_t *keys = calloc(count + 1, sizeof *keys);
    for (size_t i = 0; i < count; i++) keys[i] = (int64_t)(next_random() % end);
    qsort(keys, count, sizeof *keys, ascending);

    struct creading_tree tree = {.count = 0};
    size_t nodes = count == 0 ? 1 : (count + room - 1) / room, top_keys = count, stride = 1;
    for (;; nodes = (nodes + room) / (room + 1)) {
        char *level = aligned_alloc(64, nodes * CREADING_NODE_BYTES);
        for (size_t i = 0; i < nodes * room; i++) {
            // The key that a place has: of the level of all keys its own, else the first of a child.
            size_t own = tree.count == 0 ? i : (i / room * (room + 1) + i % room + 1) * stride;
            if (bytes == 4) ((int32_t *)level)[i] = own < count ? (int32_t)keys[own] : INT32_MAX;
            else ((int64_t *)level)[i] = own < count ? keys[own] : INT64_MAX;
        }
        tree.level[tree.count++] = level;
        if (nodes == 1) break;
        stride *= tree.count == 1 ? room : room + 1;
        top_keys = nodes - 1;
    }

    creading_search search = way ? creading_named_search(way, width, tree.count, top_keys)
                                 : creading_fastest_search(width, tree.count, top_keys);
    size_t compared = 0;
    for (size_t i = 0; search && i < 3 * count + 50; i++) {
        // At a key, a page below it, or anywhere.
        uint64_t page = i < 2 * count ? (uint64_t)(keys[i / 2] - (int64_t)(i & 1)) : next_random();
        uint64_t address = page << CREADING_PAGE_SHIFT | (next_random() & 4095);
        int64_t wanted = (int64_t)(address >> CREADING_PAGE_SHIFT);
        size_t found = 0;
        while (found < count && keys[found] <= wanted) found++;
        REQUIRE(search(&tree, address) == found);
        compared++;
    }
    for (size_t i = 0; i < tree.count; i++) free((void *)tree.level[i]);
    free(keys);
    return compared;
}

int main(void) {
    static const size_t counts[] = {0,  1,   2,   8,   9,     16,    17,    31,    32,   33,
                                    63, 64,  65,  130, 576,   1056,  1057,  2112,  2113, 4160,
                                    4161, 8320};
    static const char *const ways[] = {0, "plain", "avx2", "avx512"};
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        size_t compared = 0;
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            compared += check(counts[i], CREADING_NARROW, ways[way])
                + check(counts[i], CREADING_WIDE, ways[way]);
        printf("search: %s: %zu addresses\n", ways[way] ? ways[way] : "the fastest", compared);
        REQUIRE(compared > 0 || way > 1);
    }
}
