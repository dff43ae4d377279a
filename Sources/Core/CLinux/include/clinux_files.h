// Files: names that change places, and rights that a program has by itself.
#ifndef CLINUX_FILES_H
#define CLINUX_FILES_H

// renameat2(2), RENAME_EXCHANGE: two files of one directory take each other's names at once.
// Returns 0 or -errno; -EINVAL where the file system can't.
int clinux_exchange(int directory, const char *one, const char *other);

// Whether a program has capabilities of its own (capabilities(7)): 1 or 0.
int clinux_has_capabilities(const char *path);

#endif
