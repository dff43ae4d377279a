// Who may reach a path.
#ifndef CLINUX_ACCESS_H
#define CLINUX_ACCESS_H

// Gives a second group the permissions `bits` (4 reads, 2 writes, 1 searches) on `path`, beside an
// owner with `ownerBits` and the path's own group with `bits` too. Others get none. Returns 0 or
// -errno.
int clinux_allow_group(const char *path, unsigned int group, unsigned int ownerBits,
                       unsigned int bits);

#endif
