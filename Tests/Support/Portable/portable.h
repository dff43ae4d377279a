// What the programs share that test C sources on every architecture. `.ci/arm64` builds and runs them.
#ifndef PORTABLE_H
#define PORTABLE_H

#include <stdio.h>
#include <stdlib.h>

// Ends the program unless the condition holds.
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (condition) break;                                                                      \
        fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                  \
        exit(1);                                                                                   \
    } while (0)

#endif
