/* The layout is part of the interface: a change here is a change of MEMSLOTS_ABI. */
#define MEMSLOTS_NO_ABI_REFERENCE
#include "memslots.h"

_Static_assert(sizeof(memslots_slot) == 64, "memslots_slot");
_Static_assert(sizeof(memslots_violation) == 384, "memslots_violation");
_Static_assert(sizeof(memslots_operation) == 136, "memslots_operation");
_Static_assert(sizeof(memslots_change) == 136, "memslots_change");
_Static_assert(sizeof(memslots_dirty_run) == 80, "memslots_dirty_run");
_Static_assert(sizeof(memslots_span) == 32, "memslots_span");
_Static_assert(sizeof(memslots_range) == 16, "memslots_range");
_Static_assert(sizeof(memslots_view) == 32, "memslots_view");
_Static_assert(sizeof(memslots_event) == 24, "memslots_event");
_Static_assert(sizeof(memslots_simulator_options) == 24, "memslots_simulator_options");
/* 40 in version 0.2: the library reads that too. */
_Static_assert(sizeof(memslots_kvm_options) == 56, "memslots_kvm_options");
_Static_assert(sizeof(memslots_capabilities) == 40, "memslots_capabilities");
/* 24 in version 0.2: the library reads that too. */
_Static_assert(sizeof(memslots_submit_options) == 48, "memslots_submit_options");
_Static_assert(sizeof(memslots_receipt) == 80, "memslots_receipt");
_Static_assert(sizeof(memslots_vcpu_options) == 40, "memslots_vcpu_options");
_Static_assert(sizeof(memslots_hook_functions) == 72, "memslots_hook_functions");
_Static_assert(sizeof(memslots_back_end_offer) == 24, "memslots_back_end_offer");
_Static_assert(sizeof(memslots_back_end_options) == 80, "memslots_back_end_options");
_Static_assert(sizeof(memslots_ring) == 64, "memslots_ring");
_Static_assert(sizeof(memslots_back_end_status) == 32, "memslots_back_end_status");
