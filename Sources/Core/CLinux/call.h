// The value of a call, or minus errno.
#ifndef CALL_H
#define CALL_H

#include <errno.h>

static inline int result(int value) { return value < 0 ? -errno : value; }

// The same of any call, which is repeated when a signal interrupts it.
#define REPEATED(call)                                                          \
    ({                                                                          \
        long value;                                                             \
        do                                                                      \
            value = (call);                                                     \
        while (value < 0 && errno == EINTR);                                    \
        value < 0 ? -errno : value;                                             \
    })

#endif
