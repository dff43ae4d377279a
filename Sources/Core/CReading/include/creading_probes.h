// USDT probes: Docs/Probes.md lists them and their arguments. A probe is one instruction that does
// nothing, and a note by which a tracer finds it; without <sys/sdt.h> it is nothing at all.
#ifndef CREADING_PROBES_H
#define CREADING_PROBES_H
#include <stdint.h>

#if __has_include(<sys/sdt.h>) && !defined(MEMSLOTS_NO_PROBES)
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define CREADING_FIRE STAP_PROBEV
#else
#define CREADING_FIRE(provider, name, ...) ((void)(uint64_t[]){__VA_ARGS__})
#endif

// Those of the engine, as functions: Swift imports no macros that have arguments.
#define CREADING_PROBE(name, parameters, ...) \
    static inline __attribute__((always_inline)) void creading_probe_##name parameters { \
        CREADING_FIRE(memslots, name, __VA_ARGS__); \
    }
CREADING_PROBE(submit, (uint64_t table, uint64_t operations), table, operations)
CREADING_PROBE(hold, (uint64_t table, uint64_t since), table, since)
CREADING_PROBE(call, (uint64_t table, uint64_t slot, uint64_t error), table, slot, error)
CREADING_PROBE(swap, (uint64_t table, uint64_t generation), table, generation)
CREADING_PROBE(release, (uint64_t table, uint64_t nanoseconds), table, nanoseconds)

#endif
