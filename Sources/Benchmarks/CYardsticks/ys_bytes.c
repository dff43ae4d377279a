// See the header.
#include "ys_bytes.h"

#include <string.h>

void ys_copy(void *to, const void *from, size_t count) { memcpy(to, from, count); }

uint64_t ys_scan(const uint8_t *text, size_t count) {
    uint64_t found = 0;
    int in_string = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t byte = text[i];
        if (byte == '"') {
            in_string = !in_string;
        } else if (in_string) {
            if (byte == '\\') i += 1;
        } else {
            found += byte == '{' || byte == '}' || byte == '[' || byte == ']' || byte == ',' ||
                     byte == ':';
        }
    }
    return found;
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
            // A name is no number: on to the next member.
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
