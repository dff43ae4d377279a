// --atomic: who asked for changes, and when they are committed.
//
// From the first change on vCPUs are held out, until all who asked have done: so nothing that runs
// in the guest can tell when the calls took effect. A thread has done when it goes to run a vCPU,
// or makes a call that looks at memory, or is quiet. Another thread's call waits for it meanwhile
// and doesn't commit what is half asked.
#include "preload.h"
#include <string.h>

uint32_t preload_arriving;

// With the lock held: makes what was asked, and leaves vCPUs out.
static void carry_out(struct preload_vm *vm) {
    uint64_t start = preload_now();
    int passed = preload_passes_through();
    cpreload_pass_through(1);
    memslots_preload_commit(vm->number);
    cpreload_pass_through(passed);
    vm->applied += preload_now() - start;
}

// With the lock held.
void preload_commit(struct preload_vm *vm, uint32_t why) {
    carry_out(vm);
    struct crun_record *record = preload_begin_record(vm);
    record->form = why;
    record->asked = vm->asked;
    record->made = vm->made;
    record->applied = vm->applied;
    record->held_since = vm->held_since;
    if (vm->is_pending) __atomic_sub_fetch(&preload_pending, 1, __ATOMIC_SEQ_CST);
    vm->is_pending = 0;
    vm->next_check = 0;
    vm->asked = 0;
    vm->made = 0;
    vm->applied = 0;
    vm->is_begun = 0;
    vm->asker_count = 0;
    preload_release(vm);
    record->duration = preload_now() - vm->held_since;
    __atomic_store_n(&record->kind, CRUN_COMMIT, __ATOMIC_RELEASE);
}

static void remember(struct preload_vm *vm) {
    int32_t thread = preload_thread();
    uint32_t index = 0;
    while (index < vm->asker_count && vm->askers[index].thread != thread) index++;
    // Too many at once to tell who has done: the last of them speaks for the rest.
    if (index == PRELOAD_ASKERS) index--;
    else if (index == vm->asker_count) vm->asker_count++;
    struct preload_asker *asker = &vm->askers[index];
    asker->thread = thread;
    asker->runs_vcpus = preload_runs() > 0;
    asker->last = preload_now();
    asker->processor_time = preload_processor_time(0);
    if (!vm->is_pending) __atomic_add_fetch(&preload_pending, 1, __ATOMIC_SEQ_CST);
    vm->is_pending = 1;
}

// A call that only the kernel can answer, made after all that was asked before it. Whoever asked
// may go on: for the guest it is one transaction, of which it sees nothing until it ends.
static int32_t make_now(struct preload_vm *vm, const struct cpreload_region *region) {
    preload_hold(vm);
    if (vm->is_pending) carry_out(vm);
    uint64_t start = preload_now();
    int32_t answer = memslots_preload_now(vm->number, region);
    vm->applied += preload_now() - start;
    if (answer == 0) vm->asked++;
    if (answer == 0 || vm->is_pending) {
        vm->is_begun = 1;
        remember(vm);
    } else {
        preload_release(vm);
        vm->made = 0;
        vm->applied = 0;
    }
    return answer;
}

// Whether nobody is left who may go on asking, once the calling thread has done.
static int was_last(struct preload_vm *vm) {
    for (uint32_t i = 0; i < vm->asker_count; i++) {
        if (vm->askers[i].thread != preload_thread()) continue;
        vm->askers[i] = vm->askers[--vm->asker_count];
        break;
    }
    return vm->asker_count == 0;
}

// With the lock held: commits what the calling thread asked, or waits until others did theirs.
static void settle(struct preload_vm *vm, uint32_t why) {
    while (vm->is_pending) {
        if (was_last(vm)) preload_commit(vm, why);
        else pthread_cond_wait(&preload_committed, &preload_mutex);
    }
}

void preload_settle(struct preload_vm *vm, uint32_t why) {
    if (!__atomic_load_n(&preload_pending, __ATOMIC_SEQ_CST)) return;
    sigset_t saved;
    preload_lock(&saved);
    settle(vm, why);
    preload_unlock(&saved);
}

// The calling thread has done; it doesn't wait here for others, but at the gate.
void preload_settle_mine(uint32_t why) {
    sigset_t saved;
    preload_lock(&saved);
    for (int i = 0; i < PRELOAD_VMS; i++) {
        struct preload_vm *vm = &preload_vms[i];
        if (vm->is_pending && was_last(vm)) preload_commit(vm, why);
    }
    preload_unlock(&saved);
}

// Of a thread that asks on and on: commits where that leaves no hole, so that the guest isn't kept
// out for ever; after a thousand times as long wherever it stands.
static void limit_hold(struct preload_vm *vm) {
    uint64_t time = preload_now(), held = time - vm->held_since, span = 4 * preload_header->quiet;
    if (held < span || time < vm->next_check) return;
    // What the kernel has is no measure once a part of it was made.
    int is_whole = held > 1000 * span || (!vm->is_begun && memslots_preload_covers(vm->number));
    uint64_t end = preload_now();
    // With many slots the question takes time itself.
    vm->next_check = end + span + 8 * (end - time);
    if (is_whole) preload_commit(vm, CRUN_BY_TIME);
}

int preload_ask(struct preload_vm *vm, int descriptor, unsigned long request, void *argument) {
    struct cpreload_region region;
    if (preload_words(&region, request, argument) < 0)
        return preload_real_ioctl(descriptor, request, argument);
    sigset_t saved;
    __atomic_add_fetch(&preload_arriving, 1, __ATOMIC_SEQ_CST);
    preload_lock(&saved);
    __atomic_sub_fetch(&preload_arriving, 1, __ATOMIC_SEQ_CST);
    struct crun_record *record = preload_begin_record(vm);
    preload_set_words(record, &region);
    cpreload_pass_through(1);
    int32_t answer = memslots_preload_ask(vm->number, &region);
    if (answer == CPRELOAD_NOW) {
        answer = make_now(vm, &region);
    } else if (answer == CPRELOAD_CHANGED) {
        vm->asked++;
        preload_hold(vm);
        remember(vm);
        answer = 0;
    }
    cpreload_pass_through(0);
    record->result = answer;
    preload_end_record(record, CRUN_ASKED);
    if (vm->is_pending) limit_hold(vm);
    int is_pending = vm->is_pending;
    preload_unlock(&saved);
    if (is_pending) preload_wake_watch();
    if (answer == 0) return 0;
    errno = -answer;
    return -1;
}

static int answer_dirty_log(
    struct preload_vm *vm, int descriptor, unsigned long request, void *argument) {
    sigset_t saved;
    preload_lock(&saved);
    settle(vm, CRUN_BY_CALL);
    cpreload_pass_through(1);
    int32_t answer = memslots_preload_dirty_log(vm->number, descriptor, request, argument);
    cpreload_pass_through(0);
    preload_unlock(&saved);
    if (answer >= 0) return answer;
    errno = -answer;
    return -1;
}

static void enabled(struct preload_vm *vm, const void *argument) {
    struct kvm_enable_cap words;
    if (cpreload_read(&words, argument, sizeof words) < 0) return;
    sigset_t saved;
    preload_lock(&saved);
    memslots_preload_enabled(vm->number, words.cap, words.args[0]);
    preload_unlock(&saved);
}

// KVM may take these pages for slots of its own: in VMX for a guest in real mode.
static void reserved(struct preload_vm *vm, unsigned long request, const void *argument) {
    uint64_t start = (uint64_t)argument, size = 3 * 4096;
    if ((uint32_t)request == (uint32_t)KVM_SET_IDENTITY_MAP_ADDR) {
        size = 4096;
        if (cpreload_read(&start, argument, sizeof start) < 0 || start == 0) return;
    }
    sigset_t saved;
    preload_lock(&saved);
    memslots_preload_reserved(vm->number, start, size);
    preload_unlock(&saved);
}

static void made_file(struct preload_vm *vm, int descriptor, const void *argument) {
    struct preload_guest_memfd words;
    if (cpreload_read(&words, argument, sizeof words) < 0) return;
    preload_note_other(vm, PRELOAD_FILE, descriptor);
    sigset_t saved;
    preload_lock(&saved);
    memslots_preload_file(vm->number, descriptor, words.size);
    preload_unlock(&saved);
}

// Our signal stays open inside the guest, whatever mask the VMM wants there.
static int set_signal_mask(int descriptor, unsigned long request, void *argument) {
    struct {
        uint32_t length;
        uint8_t set[8];
    } words;
    if (!argument || cpreload_read(&words, argument, sizeof words) < 0 || words.length != 8)
        return preload_real_ioctl(descriptor, request, argument);
    uint64_t mask;
    memcpy(&mask, words.set, sizeof mask);
    mask &= ~(1ull << (preload_signal() - 1));
    memcpy(words.set, &mask, sizeof mask);
    return preload_real_ioctl(descriptor, request, &words);
}

int preload_atomic_call(
    struct preload_vm *vm, int descriptor, unsigned long request, void *argument) {
    switch ((uint32_t)request) {
    case (uint32_t)KVM_GET_DIRTY_LOG:
    case (uint32_t)KVM_CLEAR_DIRTY_LOG:
        return answer_dirty_log(vm, descriptor, request, argument);
    case (uint32_t)KVM_SET_SIGNAL_MASK: return set_signal_mask(descriptor, request, argument);
    case (uint32_t)KVM_CREATE_GUEST_MEMFD: {
        int file = preload_real_ioctl(descriptor, request, argument);
        if (file >= 0) made_file(vm, file, argument);
        return file;
    }
    default: break;
    }
    if (preload_is_harmless((uint32_t)request))
        return preload_real_ioctl(descriptor, request, argument);
    preload_begin_use(vm);
    int result = preload_real_ioctl(descriptor, request, argument);
    int error = errno;
    preload_end_use(vm);
    if (result >= 0 && (uint32_t)request == (uint32_t)KVM_ENABLE_CAP
        && preload_kind(preload_entry(descriptor)) == PRELOAD_VM)
        enabled(vm, argument);
    if (result >= 0
        && ((uint32_t)request == (uint32_t)KVM_SET_TSS_ADDR
            || (uint32_t)request == (uint32_t)KVM_SET_IDENTITY_MAP_ADDR))
        reserved(vm, request, argument);
    errno = error;
    return result;
}

// Memory is about to go: what a slot stands on, now or in what was asked, goes after the commit.
void preload_before_unmapping(const void *address, size_t size) {
    if (preload_passes_through()) return;
    sigset_t saved;
    preload_lock(&saved);
    for (int i = 0; i < PRELOAD_VMS; i++) {
        struct preload_vm *vm = &preload_vms[i];
        if (!vm->is_pending) continue;
        if (memslots_preload_backs(vm->number, (uint64_t)address, size))
            settle(vm, CRUN_BY_UNMAPPING);
    }
    preload_unlock(&saved);
}
