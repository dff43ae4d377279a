// Memory objects: system calls of Linux that Swift's Glibc module does not export.
//
// Each function returns what the call returns, or -errno. Declarations of plain types only: the
// system's headers, read here with other macros than Swift's own module of them was, would define
// some types twice and differently.
#ifndef CLINUX_H
#define CLINUX_H

// memfd_create(2), close-on-exec and sealable.
int clinux_memfd(const char *name, int hugetlb);

// fcntl(2), F_ADD_SEALS: the file can't shrink, nor take more or fewer seals.
int clinux_seal_size(int descriptor);

// fcntl(2), F_GET_SEALS.
int clinux_seals(int descriptor);

// The seal that a passed memory object must bear: without it a client could kill us by SIGBUS.
int clinux_seal_shrink(void);

// Gives memory that is free, but kept for later, back to the system. Takes milliseconds where
// there is much of it, during which other threads may wait for memory.
void clinux_give_memory_back(void);

// mallopt(M_ARENA_MAX): how many heaps malloc keeps for threads to share. Before the first of them.
void clinux_limit_arenas(int count);

#endif
