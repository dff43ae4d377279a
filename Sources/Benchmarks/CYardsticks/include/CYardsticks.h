// Yardsticks: what a small C function of our own takes for the same work, so that a benchmark can
// give a ratio from one and the same run. Nothing of this is used by the project itself.
#ifndef CYARDSTICKS_H
#define CYARDSTICKS_H

#include "ys_arrays.h"
#include "ys_blackout.h"
#include "ys_bytes.h"
#include "ys_clock.h"
#include "ys_entering.h"
#include "ys_process.h"
#include "ys_search.h"
#include "ys_slots.h"
#include "ys_socket.h"

#endif
