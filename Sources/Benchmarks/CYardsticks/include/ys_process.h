// Starting other programs, as little as a benchmark needs.
#ifndef YS_PROCESS_H
#define YS_PROCESS_H

#include <stdint.h>

// Starts a program with its output thrown away; it ends with this process. Returns its id, or
// minus errno.
int ys_start(const char *path, char *const arguments[]);

// Ends a process by SIGTERM, and waits for it. Returns its exit status, or minus the signal.
int ys_end(int process);

// Waits for the end of a process. Returns its exit status, or minus the signal.
int ys_wait(int process);

// Whether a process that was started here still runs. Takes its end note.
int ys_is_running(int process);

#endif
