#include "ys_arrays.h"

#include <stdlib.h>
#include <string.h>

enum kind { same, added, removed, moved, reflagged, replaced };

static inline enum kind classify(const struct ys_slot *before, const struct ys_slot *after) {
    uint64_t fixed = (before->size ^ after->size) | (before->host ^ after->host) |
                     (before->memory ^ after->memory) |
                     ((before->flags ^ after->flags) & ~1u);
    if (fixed != 0) return replaced;
    if (before->guest != after->guest) return moved;
    return before->flags != after->flags ? reflagged : same;
}

static inline void count_change(struct ys_changes *changes, enum kind kind) {
    switch (kind) {
    case same: break;
    case added: changes->added += 1; break;
    case removed: changes->removed += 1; break;
    case moved: changes->moved += 1; break;
    case reflagged: changes->reflagged += 1; break;
    case replaced: changes->replaced += 1; break;
    }
}

static inline uint64_t operation(enum kind kind, size_t index) {
    return (uint64_t)kind << 56 | (uint64_t)index;
}

struct ys_changes ys_merge(
    const struct ys_slot *old, size_t old_count, const struct ys_slot *new, size_t new_count,
    uint64_t *operations) {
    struct ys_changes changes = {0};
    size_t i = 0, j = 0, count = 0;
    while (i < old_count && j < new_count) {
        enum kind kind;
        if (__builtin_expect(old[i].id == new[j].id, 1)) {
            kind = classify(&old[i++], &new[j++]);
            if (__builtin_expect(kind == same, 1)) continue;
        } else if (old[i].id < new[j].id) {
            kind = removed;
            i += 1;
        } else {
            kind = added;
            j += 1;
        }
        count_change(&changes, kind);
        operations[count++] = operation(kind, kind == removed ? i - 1 : j - 1);
    }
    changes.removed += old_count - i;
    changes.added += new_count - j;
    for (; i < old_count; i++) operations[count++] = operation(removed, i);
    for (; j < new_count; j++) operations[count++] = operation(added, j);
    return changes;
}

// Sorts pairs of guest page and index, packed in a word as 40 and 24 bits. Small arrays use small
// digits, because clearing the sums would dominate otherwise.
static uint64_t *sorted_by_guest(
    const struct ys_slot *slots, size_t count, uint64_t *words, uint64_t *other, uint64_t *sums) {
    for (size_t i = 0; i < count; i++) words[i] = slots[i].guest >> 12 << 24 | i;
    int bits = count < 4096 ? 7 : 11;
    uint64_t mask = (1u << bits) - 1;
    for (int shift = 24; shift < 64; shift += bits) {
        memset(sums, 0, (mask + 1) * sizeof *sums);
        for (size_t i = 0; i < count; i++) sums[words[i] >> shift & mask] += 1;
        // If all have the same digit, the pass would change nothing.
        if (sums[words[0] >> shift & mask] == count) continue;
        uint64_t sum = 0;
        for (size_t digit = 0; digit <= mask; digit++) {
            uint64_t own = sums[digit];
            sums[digit] = sum;
            sum += own;
        }
        for (size_t i = 0; i < count; i++)
            other[sums[words[i] >> shift & mask]++] = words[i];
        uint64_t *swap = words;
        words = other;
        other = swap;
    }
    return words;
}

uint64_t ys_validate(const struct ys_slot *slots, size_t count, uint64_t *scratch) {
    if (count == 0) return 0;
    uint64_t faults = 0, disorder = 0, unsorted = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ys_slot *slot = &slots[i];
        faults += ((slot->guest | slot->size | slot->host) & 4095) != 0;
        faults += slot->size == 0;
        faults += slot->guest + slot->size < slot->guest;
        faults += (slot->guest + slot->size) >> 52 != 0;
        faults += (slot->flags & ~3u) != 0;
        if (i == 0) continue;
        unsorted += slots[i - 1].id >= slot->id;
        disorder += slots[i - 1].guest + slots[i - 1].size > slot->guest;
    }
    if (unsorted > 0) {
        uint64_t *seen = scratch + 2 * count;
        memset(seen, 0, (1 << 20) / 8);
        for (size_t i = 0; i < count; i++) {
            uint32_t id = slots[i].id & 0xfffff;
            faults += seen[id / 64] >> (id % 64) & 1;
            seen[id / 64] |= 1ull << (id % 64);
        }
    }
    if (disorder == 0) return faults;
    uint64_t *sums = scratch + 2 * count + (1 << 20) / 64;
    const uint64_t *order = sorted_by_guest(slots, count, scratch, scratch + count, sums);
    for (size_t i = 1; i < count; i++) {
        const struct ys_slot *before = &slots[order[i - 1] & 0xffffff];
        faults += before->guest + before->size > slots[order[i] & 0xffffff].guest;
    }
    return faults;
}

void ys_sort_by_id(
    const struct ys_slot *slots, size_t count, struct ys_slot *sorted, struct ys_slot *scratch) {
    const struct ys_slot *from = slots;
    struct ys_slot *to = scratch;
    for (int shift = 0; shift < 22; shift += 11) {
        size_t sums[2048] = {0};
        for (size_t i = 0; i < count; i++) sums[from[i].id >> shift & 2047] += 1;
        size_t sum = 0;
        for (size_t digit = 0; digit < 2048; digit++) {
            size_t own = sums[digit];
            sums[digit] = sum;
            sum += own;
        }
        for (size_t i = 0; i < count; i++) to[sums[from[i].id >> shift & 2047]++] = from[i];
        from = to;
        to = sorted;
    }
}

static inline int digit(uint8_t byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    return -1;
}

size_t ys_read_numbers(const uint8_t *text, size_t count, uint64_t *numbers, size_t room) {
    size_t found = 0;
    for (size_t i = 0; i + 1 < count && found < room; i++) {
        if (text[i] != ':') continue;
        i += 1;
        uint64_t base = 10, value = 0;
        if (text[i] == '"') {
            // A name is no number.
            if (i + 2 >= count || text[i + 1] != '0' || text[i + 2] != 'x') continue;
            base = 16;
            i += 3;
        }
        int next;
        while (i < count && (next = digit(text[i])) >= 0) {
            value = value * base + (uint64_t)next;
            i += 1;
        }
        numbers[found++] = value;
    }
    return found;
}
