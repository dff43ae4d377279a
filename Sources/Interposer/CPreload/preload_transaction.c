// --atomic: which threads request changes, and when the changes are committed.
//
// A slot call returns at once with the kernel's result, and is deferred. vCPUs are held from the
// first deferred change until every requesting thread is finished, so the guest cannot observe when
// the calls take effect. A thread is finished when it runs a vCPU, makes a call that uses guest
// memory, or is quiet. Another thread's call waits for it and does not commit half of its changes.
#include "preload.h"
#include <stdlib.h>
#include <string.h>

uint32_t preload_arriving[PRELOAD_VMS];

// Makes the deferred calls on the kernel one by one, beside the guest, in the VMM's order.
static void pass_deferred(struct preload_vm *vm) {
    for (uint32_t i = 0; i < vm->deferred; i++)
        if (cpreload_set_region(vm->number, &vm->regions[i]) < 0)
            cpreload_stop(
                "the kernel refused a slot call that --atomic had reported as done. The VMM is "
                "stopped, because it believes otherwise");
    memslots_preload_follow(vm->number);
}

// With the lock held: applies the deferred calls. vCPUs stay held, unless the hold budget is spent.
static void apply_pending(struct preload_vm *vm) {
    CREADING_FIRE(memslots_run, submit, vm->number, vm->deferred);
    uint64_t start = preload_now();
    if (vm->passes) pass_deferred(vm);
    else memslots_preload_commit(vm->number);
    __atomic_sub_fetch(&preload_header->deferred, vm->deferred, __ATOMIC_RELAXED);
    vm->deferred = 0;
    vm->applied += preload_now() - start;
}

static void release_timed(struct preload_vm *vm) {
    uint64_t start = preload_now();
    preload_release(vm);
    vm->released = preload_now();
    vm->hold.release = vm->released - start;
}

// Does what the user chose for a hold that exceeds its budget.
static void past_budget(struct preload_vm *vm) {
    if (preload_header->past_budget == CRUN_STOP)
        cpreload_stop("vCPUs were held for longer than --hold-budget-us: the VMM is stopped");
    if (preload_header->past_budget != CRUN_PASS || vm->passes) return;
    cpreload_print(
        "vCPUs were held for longer than --hold-budget-us: from now on the slot calls of this VM "
        "are made one by one, beside the guest");
    vm->passes = 1;
}

// Ends a hold that exceeds its budget before its calls are made.
static void end_hold(struct preload_vm *vm) {
    past_budget(vm);
    release_timed(vm);
    preload_commit(vm, CRUN_BY_BUDGET);
}

void preload_limit_hold(struct preload_vm *vm) {
    if (vm->closed && preload_is_past_budget(vm)) end_hold(vm);
}

// With the lock held: applies the deferred calls, records the commit and releases the vCPUs.
void preload_commit(struct preload_vm *vm, uint32_t why) {
    if (why != CRUN_BY_BUDGET && preload_is_past_budget(vm)) return end_hold(vm);
    // While the gate is closed: a vCPU that comes as it opens has not waited.
    uint64_t since = __atomic_load_n(&vm->withheld_since, __ATOMIC_RELAXED);
    __atomic_store_n(&vm->last_request, preload_now(), __ATOMIC_RELAXED);
    apply_pending(vm);
    struct crun_record *record = preload_begin_record(vm);
    record->asked = vm->asked;
    record->made = vm->made;
    record->applied = vm->applied;
    record->held_since = vm->held_since;
    if (vm->is_pending) __atomic_sub_fetch(&preload_pending, 1, __ATOMIC_SEQ_CST);
    vm->is_pending = vm->asked = vm->made = vm->is_begun = vm->requester_count = 0;
    vm->next_check = vm->applied = 0;
    if (why != CRUN_BY_BUDGET) release_timed(vm);
    record->hold = vm->hold;
    record->hold.why = why;
    record->duration = vm->released - vm->held_since;
    __atomic_add_fetch(&preload_header->commits, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&preload_header->held, record->duration, __ATOMIC_RELAXED);
    record->hold.withheld_none = !since;
    if (since && record->duration > preload_header->longest_hold)
        preload_header->longest_hold = record->duration;
    preload_finish_record(record, CRUN_COMMIT);
    preload_record_arrays(vm);
    if (!since || !preload_header->hold_budget || vm->released - since <= preload_header->hold_budget)
        return;
    __atomic_add_fetch(&preload_header->past, 1, __ATOMIC_RELAXED);
    // The calls of a commit are not interrupted: half of them would be a hole.
    past_budget(vm);
}

// With the lock held: the calling thread has deferred calls.
static void add_requester(struct preload_vm *vm) {
    int32_t thread = preload_thread();
    uint32_t index = 0;
    while (index < vm->requester_count && vm->requesters[index].thread != thread) index++;
    // With too many threads the last entry stands for all the others: no thread's end removes it.
    if (index >= PRELOAD_REQUESTERS - 1) {
        index = PRELOAD_REQUESTERS - 1;
        thread = 0;
    }
    if (index == vm->requester_count) vm->requester_count++;
    struct preload_requester *requester = &vm->requesters[index];
    requester->thread = thread;
    requester->runs_vcpus = preload_runs() > 0;
    requester->last = preload_now();
    __atomic_store_n(&vm->last_request, requester->last, __ATOMIC_RELAXED);
    requester->processor_time = preload_processor_time(0);
    if (!vm->is_pending) __atomic_add_fetch(&preload_pending, 1, __ATOMIC_SEQ_CST);
    vm->is_pending = 1;
}

// Makes a call that only the kernel can decide, after all calls deferred before it. It does not end
// the transaction: the guest is held until the requesting threads are finished.
static int32_t apply_now(struct preload_vm *vm, const struct crun_region *region) {
    preload_hold(vm);
    preload_limit_hold(vm);
    if (vm->passes) return memslots_preload_apply_now(vm->number, region);
    if (vm->is_pending) apply_pending(vm);
    uint64_t start = preload_now();
    int32_t result = memslots_preload_apply_now(vm->number, region);
    vm->applied += preload_now() - start;
    if (result == 0) vm->asked++;
    if (result == 0 || vm->is_pending) {
        vm->is_begun = 1;
        add_requester(vm);
    } else {
        preload_release(vm);
        vm->made = 0;
        vm->applied = 0;
    }
    return result;
}

// Whether no requesting thread is left after the calling thread, which is removed.
static int was_last_requester(struct preload_vm *vm) {
    for (uint32_t i = 0; i < vm->requester_count; i++) {
        if (vm->requesters[i].thread != preload_thread()) continue;
        vm->requesters[i] = vm->requesters[--vm->requester_count];
        break;
    }
    return vm->requester_count == 0;
}

// Commits if no other thread is requesting changes; otherwise the caller waits for the commit.
int64_t preload_try_settle(struct preload_vm *vm, uint32_t why) {
    if (!vm->is_pending) return 0;
    if (!was_last_requester(vm)) return PRELOAD_AGAIN;
    preload_commit(vm, why);
    return 0;
}

static int64_t settle(const struct preload_call *call) {
    return preload_try_settle(call->vm, call->why);
}

void preload_settle(struct preload_vm *vm, uint32_t why) {
    if (!__atomic_load_n(&preload_pending, __ATOMIC_SEQ_CST)) return;
    preload_locked(settle, &(struct preload_call){.vm = vm, .why = why});
}

void preload_settle_all(uint32_t why) {
    for (int i = 0; i < PRELOAD_VMS; i++)
        if (preload_vms[i].is_pending) preload_settle(&preload_vms[i], why);
}

static int64_t settle_own(const struct preload_call *call) {
    for (int i = 0; i < PRELOAD_VMS; i++) {
        struct preload_vm *vm = &preload_vms[i];
        if (vm->is_pending && was_last_requester(vm)) preload_commit(vm, call->why);
    }
    return 0;
}

// The calling thread is finished. It waits for other threads at the gate, not here.
void preload_settle_own(uint32_t why) {
    preload_locked(settle_own, &(struct preload_call){.why = why});
}

// Commits for a thread that requests changes without a pause: at a point that leaves
// no hole, and after a thousand times the span at any point.
static void commit_in_time(struct preload_vm *vm) {
    uint64_t time = preload_now(), held = time - vm->held_since, span = 4 * preload_header->quiet;
    if (held < span || time < vm->next_check) return;
    // Once a part was applied, comparing with the kernel's slots proves nothing.
    int is_whole = held > 1000 * span || (!vm->is_begun && memslots_preload_covers(vm->number));
    uint64_t end = preload_now();
    // With many slots the check itself takes time. No longer: it must not meet the same call of each
    // change again.
    vm->next_check = end + 8 * (end - time);
    if (is_whole) preload_commit(vm, CRUN_BY_TIME);
}

// Keeps the call itself only where it may have to be made as it is.
static void defer(struct preload_vm *vm, const struct crun_region *region) {
    if (preload_header->past_budget == CRUN_PASS) {
        if (vm->deferred == vm->room) {
            vm->room = vm->room ? 2 * vm->room : 16;
            vm->regions = realloc(vm->regions, vm->room * sizeof *region);
            if (!vm->regions) cpreload_stop("no memory for a slot call");
        }
        vm->regions[vm->deferred] = *region;
    }
    vm->deferred++;
}

// Makes a call beside the guest: the table is followed, and nobody is held.
static int32_t pass(struct preload_vm *vm, const struct crun_region *region) {
    uint64_t start = preload_now();
    int32_t result = memslots_preload_apply_now(vm->number, region);
    struct crun_record *record = preload_begin_record(vm);
    record->asked = record->made = 1;
    record->held_since = preload_now();
    record->applied = record->held_since - start;
    memset(&record->hold, 0, sizeof record->hold);
    record->hold.why = CRUN_BY_PASS;
    record->duration = 0;
    preload_finish_record(record, CRUN_COMMIT);
    __atomic_add_fetch(&preload_header->passed, 1, __ATOMIC_RELAXED);
    return result;
}

static int64_t request(const struct preload_call *call) {
    struct preload_vm *vm = call->vm;
    struct crun_region region;
    if (preload_decode_region(&region, call->request, call->argument) < 0) return PRELOAD_PASS;
    struct crun_record *record = preload_begin_record(vm);
    record->region = region;
    preload_use_memory(&region);
    uint32_t is_off = __atomic_load_n(&preload_header->is_off, __ATOMIC_RELAXED);
    if (vm->passes || (is_off && !vm->is_pending)) {
        int32_t result = pass(vm, &region);
        record->result = result;
        preload_end_asked(vm, record);
        return result;
    }
    int32_t result = memslots_preload_request(vm->number, &region);
    if (result == CPRELOAD_UNDECIDED) {
        result = apply_now(vm, &region);
    } else if (result == CPRELOAD_CHANGED) {
        vm->asked++;
        defer(vm, &region);
        __atomic_add_fetch(&preload_header->deferred, 1, __ATOMIC_RELAXED);
        preload_hold(vm);
        add_requester(vm);
        result = 0;
    }
    record->result = result;
    preload_end_asked(vm, record);
    preload_limit_hold(vm);
    if (vm->is_pending) commit_in_time(vm);
    if (vm->is_pending) preload_wake_watch();
    return result;
}

int preload_request(const struct preload_call *call) {
    uint32_t *arriving = &preload_arriving[call->vm - preload_vms];
    __atomic_add_fetch(arriving, 1, __ATOMIC_SEQ_CST);
    int64_t result = preload_locked(request, call);
    __atomic_sub_fetch(arriving, 1, __ATOMIC_SEQ_CST);
    if (result == PRELOAD_PASS)
        return preload_real_ioctl(call->descriptor, call->request, call->argument);
    return preload_result(result);
}

static int64_t settle_backed(const struct preload_call *call) {
    for (int i = 0; i < PRELOAD_VMS; i++) {
        struct preload_vm *vm = &preload_vms[i];
        if (!vm->is_pending) continue;
        if (!memslots_preload_backs(vm->number, (uint64_t)call->argument, call->request)) continue;
        if (preload_try_settle(vm, CRUN_BY_UNMAPPING) < 0) return PRELOAD_AGAIN;
    }
    return 0;
}

// Before memory is unmapped: what is behind a slot, installed or deferred, stays until the commit.
void preload_before_unmapping(const void *address, size_t size) {
    if (preload_passes_through()) return;
    struct preload_call call = {.request = size, .argument = (void *)address};
    preload_locked(settle_backed, &call);
}
