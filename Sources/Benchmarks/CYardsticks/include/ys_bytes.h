// Passes over bytes: what reading or writing a message takes at least.
#ifndef YS_BYTES_H
#define YS_BYTES_H

#include <stddef.h>
#include <stdint.h>

// Copies all bytes.
void ys_copy(void *to, const void *from, size_t count);

// Looks at every byte of a JSON text and counts brackets, commas and colons outside of strings,
// and the digits within: the plain loop of a scanner that keeps nothing.
uint64_t ys_scan(const uint8_t *text, size_t count);

// Reads the numbers of a text like `{"a":1,"b":"0x2"}` into words, as they come: a scanner for
// this one shape, without any check. Returns how many.
size_t ys_read_numbers(const uint8_t *text, size_t count, uint64_t *numbers, size_t room);

#endif
