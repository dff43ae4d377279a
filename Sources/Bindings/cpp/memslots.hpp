/*
 * memslots.hpp: memslots.h for C++17. Header only; link with `pkg-config --cflags --libs memslots`.
 *
 *     memslots::Table table = memslots::Table::kvm(vm_descriptor);
 *     memslots::Receipt receipt = table.submit({memslots::slot(0, ram, 512 << 20)});
 *     std::cout << receipt.operations().size() << " slot calls\n";
 *
 * ERRORS are exceptions: a function that returns has succeeded, and memslots::Error has the code, the
 * errno and the violations of the C error. Only destructors return nothing, and what they close is
 * always open.
 *
 * HANDLES close themselves, also when another is assigned to them. They can be moved, not copied. A
 * moved-from handle is empty: using it throws an Error with MEMSLOTS_BAD_HANDLE. Readers, vCPUs, hooks and observations may outlive their
 * Table object. Any thread may use any handle; a View is for the thread that entered it.
 *
 * CALLBACKS are std::function. An exception never crosses the C library: from a hook's `prepare` it is
 * a veto, and its what() the reason. From any other callback the function that caused the call throws
 * it: submit(), recover() or guarded(), when the transaction has ended. Only MEMSLOTS_EVENT_RETIRED may
 * come on a thread of the table, in which no function of the program waits: what an observer throws
 * there is dropped.
 *
 * MEMORY of slots belongs to the caller, who keeps it mapped until the receipt that removed it says
 * `retired`, or MEMSLOTS_EVENT_RETIRED follows.
 *
 * Structures (memslots_slot, memslots_span, ...) are those of memslots.h, whose comments are the
 * reference for each function.
 */
#ifndef MEMSLOTS_HPP
#define MEMSLOTS_HPP

#include <memslots.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace memslots {

/* ---- Errors ------------------------------------------------------------------------------ */

/* The last error of the calling thread. what() is its sentence. */
class Error : public std::runtime_error {
public:
    /* For a function of memslots.h that has returned `code`. */
    explicit Error(std::int32_t code)
        : runtime_error(memslots_error_message()), code_(code), errno_(memslots_error_errno()) {
        std::size_t count = 0;
        if (code != MEMSLOTS_INVALID_ARRAY) return;
        memslots_error_violations(nullptr, 0, &count);
        violations_.resize(count);
        memslots_error_violations(violations_.data(), count, &count);
    }

    Error(std::int32_t code, const std::string &message) : runtime_error(message), code_(code) {}

    /* MEMSLOTS_CONFLICT and the like. */
    std::int32_t code() const noexcept { return code_; }
    /* The code's stable name, such as "generation-conflict". */
    const char *name() const noexcept { return memslots_code_name(code_); }
    /* The kernel's errno that caused it; 0 if there is none. */
    std::int32_t kernel_errno() const noexcept { return errno_; }
    /* For MEMSLOTS_INVALID_ARRAY: the violations in array order, at most 1,024. */
    const std::vector<memslots_violation> &violations() const noexcept { return violations_; }
    /* For MEMSLOTS_NOT_MAPPED of a translation: the first address that is not mapped. */
    std::optional<std::uint64_t> address() const noexcept { return address_; }
    /* The index of the first range that is not mapped. */
    std::size_t range() const noexcept { return range_; }

private:
    friend class View;
    friend class Table;
    std::int32_t code_;
    std::int32_t errno_ = 0;
    std::vector<memslots_violation> violations_{};
    std::optional<std::uint64_t> address_{};
    std::size_t range_ = 0;
};

/* Returns a code that is no error; throws an Error otherwise. */
inline std::int32_t check(std::int32_t code) {
    if (code < 0) throw Error(code);
    return code;
}

namespace detail {

/* The first exception of a callback that this thread made inside the C library. */
inline std::exception_ptr &pending() {
    static thread_local std::exception_ptr exception;
    return exception;
}

/* Runs a callback whose exception must not cross C. */
template <typename Body> void contained(const Body &body) noexcept {
    try {
        body();
    } catch (...) {
        if (!pending()) pending() = std::current_exception();
    }
}

/* Runs a call of the C library, then throws what its callbacks threw, or the call's error. */
template <typename Call> std::int32_t rethrowing(const Call &call) {
    // A hook may call another table: its own exception before must not come out there.
    std::exception_ptr outer = std::exchange(pending(), nullptr);
    std::int32_t code = call();
    std::exception_ptr thrown = std::exchange(pending(), std::move(outer));
    if (thrown) std::rethrow_exception(thrown);
    return check(code);
}

/* Fills a list, whose length may grow between two calls. */
template <typename Element, typename Fill> std::vector<Element> list(const Fill &fill) {
    std::vector<Element> items;
    std::size_t count = 0;
    std::int32_t code;
    while ((code = fill(items.data(), items.size(), &count)) == MEMSLOTS_TOO_SMALL)
        items.resize(count);
    check(code);
    items.resize(count);
    return items;
}

/* A handle that closes itself. */
template <typename Raw, std::int32_t (*Close)(Raw)> class Handle {
public:
    Handle() = default;
    Handle(Handle &&other) noexcept : raw_(std::exchange(other.raw_, Raw{})) {}
    Handle &operator=(Handle &&other) noexcept {
        const Raw old = std::exchange(raw_, std::exchange(other.raw_, Raw{}));
        if (old.value != 0) Close(old);
        return *this;
    }
    Handle(const Handle &) = delete;
    Handle &operator=(const Handle &) = delete;
    ~Handle() {
        if (raw_.value != 0) Close(raw_);
    }

    /* The handle of memslots.h, for functions that this header does not wrap. */
    Raw raw() const noexcept { return raw_; }

protected:
    Raw raw_{};
};

} // namespace detail

/* ---- Slots ------------------------------------------------------------------------------- */

/* A slot of `size` bytes at a guest address, whose id the table chooses. */
inline memslots_slot slot(std::uint64_t guest_physical_address, void *memory, std::uint64_t size,
                          std::uint32_t flags = 0, std::uint32_t id = MEMSLOTS_ANY_SLOT) {
    memslots_slot made{};
    made.slot = id;
    made.guest_physical_address = guest_physical_address;
    made.size = size;
    made.userspace_address = reinterpret_cast<std::uintptr_t>(memory);
    made.flags = flags;
    made.guest_memfd = -1;
    return made;
}

/* The slot below an address, and the slot from it, which has no id yet. Throws std::out_of_range if
 * the address is not inside. */
inline std::pair<memslots_slot, memslots_slot> split(const memslots_slot &whole,
                                                     std::uint64_t address) {
    const std::uint64_t below = address - whole.guest_physical_address;
    if (address <= whole.guest_physical_address || below >= whole.size)
        throw std::out_of_range("memslots::split: the address is not inside the slot");
    memslots_slot low = whole, high = whole;
    low.size = below;
    high.slot = MEMSLOTS_ANY_SLOT;
    high.guest_physical_address = address;
    high.size -= below;
    high.userspace_address += below;
    if (high.memory_object != 0) high.memory_offset += below;
    if (high.flags & MEMSLOTS_GUEST_MEMFD) high.guest_memfd_offset += below;
    return {low, high};
}

/* A list of the caller: a vector or whatever else has data() and size(), an array, or a list in braces. */
template <typename Element> class List {
public:
    template <typename Items, typename = std::enable_if_t<std::is_same_v<
                                  std::remove_cv_t<std::remove_pointer_t<
                                      decltype(std::declval<const Items &>().data())>>,
                                  Element>>>
    List(const Items &items) : data_(items.data()), size_(items.size()) {}
    // For the duration of the call that the list is an argument of.
    List(std::initializer_list<Element> items) : size_(items.size()) { data_ = items.begin(); }
    template <std::size_t Count>
    List(const Element (&items)[Count]) : data_(items), size_(Count) {}
    List(const Element *data, std::size_t size) : data_(data), size_(size) {}

    const Element *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

private:
    const Element *data_ = nullptr;
    std::size_t size_;
};

/* ---- Receipts ---------------------------------------------------------------------------- */

/* What a transaction did: `receipt->generation`, and the lists. For one thread at a time. */
class Receipt {
public:
    Receipt() : raw_(MEMSLOTS_INIT(memslots_receipt)) {}
    Receipt(Receipt &&other) noexcept
        : raw_(std::exchange(other.raw_, MEMSLOTS_INIT(memslots_receipt))) {}
    Receipt &operator=(Receipt &&other) noexcept {
        memslots_receipt old =
            std::exchange(raw_, std::exchange(other.raw_, MEMSLOTS_INIT(memslots_receipt)));
        memslots_receipt_release(&old);
        return *this;
    }
    Receipt(const Receipt &) = delete;
    Receipt &operator=(const Receipt &) = delete;
    ~Receipt() { memslots_receipt_release(&raw_); }

    const memslots_receipt *operator->() const noexcept { return &raw_; }
    const memslots_receipt &raw() const noexcept { return raw_; }
    bool unchanged() const noexcept { return raw_.outcome == MEMSLOTS_UNCHANGED; }
    std::chrono::nanoseconds blackout() const {
        return std::chrono::nanoseconds(static_cast<std::int64_t>(raw_.blackout_nanoseconds));
    }

    /* The operations, in the order in which they were applied. */
    std::vector<memslots_operation> operations() const {
        return list<memslots_operation>(memslots_receipt_operations);
    }
    /* The submitted slots with their ids, in the order submitted. */
    std::vector<memslots_slot> slots() const { return list<memslots_slot>(memslots_receipt_slots); }
    /* Dirty pages that no logging slot maps any more. They are not reported again. */
    std::vector<memslots_dirty_run> dirty_runs() const {
        return list<memslots_dirty_run>(memslots_receipt_dirty_runs);
    }
    std::vector<std::string> warnings() const { return texts(memslots_receipt_warning); }
    /* The names of readers that still use the previous array. */
    std::vector<std::string> readers() const { return texts(memslots_receipt_reader); }
    /* Why vCPUs were held: the first reason that applies; empty if they were not. */
    std::string hold_reason() const {
        const char *reason = memslots_receipt_hold_reason(&raw_);
        return reason ? reason : "";
    }

private:
    friend class Table;

    template <typename Element, typename Function>
    std::vector<Element> list(Function function) const {
        return detail::list<Element>([&](Element *items, std::size_t capacity, std::size_t *count) {
            return function(&raw_, items, capacity, count);
        });
    }
    template <typename Function> std::vector<std::string> texts(Function function) const {
        std::vector<std::string> all;
        while (const char *text = function(&raw_, all.size())) all.emplace_back(text);
        return all;
    }

    memslots_receipt raw_;
};

/* The slots of a table at one time, ascending by address space and id. */
struct Array {
    std::uint64_t generation = 0;
    std::vector<memslots_slot> slots{};
};

/* Options of a transaction. */
struct SubmitOptions {
    /* Commit only if this is the current generation. */
    std::optional<std::uint64_t> expected_generation{};
    /* Hold vCPUs out for every change; otherwise only if the plan needs it. */
    bool always_quiesce = false;
    /* How long to wait for vCPUs and readers to leave; 0: a second. Not negative. */
    std::chrono::milliseconds quiesce_deadline{0};
    /* Hold vCPUs out only so that none ever misses a page that both arrays map. Not with
     * always_quiesce. */
    bool continuity = false;
    /* Make exactly these ranges private, and all other memory shared; nothing: no change. */
    std::optional<std::vector<memslots_range>> private_ranges{};
};

/* Which pages of a slot the guest has written. */
struct DirtyLog {
    /* A bit for each page, the first in the lowest bit of the first word. */
    std::vector<std::uint64_t> words{};
    /* The number of dirty pages. */
    std::uint64_t count = 0;
    std::uint64_t first_page = 0;

    /* The dirty pages, ascending, counted from the slot's beginning. */
    std::vector<std::uint64_t> pages() const {
        std::vector<std::uint64_t> all;
        for (std::size_t word = 0; word < words.size(); word++)
            for (unsigned bit = 0; bit < 64; bit++)
                if (words[word] >> bit & 1) all.push_back(first_page + word * 64 + bit);
        return all;
    }
};

/* ---- Reading ----------------------------------------------------------------------------- */

/* The array that a reader has entered. Leaves when it is destroyed, on the thread that entered. */
class View {
public:
    explicit View(memslots_reader reader) { check(memslots_reader_enter(reader, &raw_)); }
    View(const View &) = delete;
    View &operator=(const View &) = delete;
    ~View() { memslots_reader_leave(&raw_); }

    std::uint64_t generation() const noexcept { return raw_.generation; }

    /* The spans of ranges, such as a descriptor chain. The list is reused by the next call. Throws
     * MEMSLOTS_NOT_MAPPED with the address() and range() of the first byte that no slot maps. */
    const std::vector<memslots_span> &translate(const List<memslots_range> &ranges,
                                                std::uint32_t address_space = 0) {
        if (spans_.empty()) spans_.resize(8);
        std::size_t count = 0;
        std::int32_t code;
        while ((code = memslots_view_translate_bulk(&raw_, address_space, ranges.data(),
                                                    ranges.size(), spans_.data(), spans_.size(),
                                                    &count)) == MEMSLOTS_TOO_SMALL)
            spans_.resize(count);
        if (code < 0) {
            Error error(code);
            if (code == MEMSLOTS_NOT_MAPPED) {
                error.address_ = spans_[0].guest_physical_address;
                error.range_ = count;
            }
            throw error;
        }
        spans_.resize(count);
        return spans_;
    }

    /* The spans of one range. */
    const std::vector<memslots_span> &translate(std::uint64_t guest_physical_address,
                                                std::uint64_t size,
                                                std::uint32_t address_space = 0) {
        return translate({memslots_range{guest_physical_address, size}}, address_space);
    }

private:
    memslots_view raw_{};
    std::vector<memslots_span> spans_{};
};

/* Translates guest addresses for one device or thread. Entering takes nanoseconds. */
class Reader : public detail::Handle<memslots_reader, memslots_reader_close> {
public:
    Reader() = default;
    View enter() const { return View(raw_); }

private:
    friend class Table;
};

/* ---- vCPUs ------------------------------------------------------------------------------- */

/* A vCPU that runs its guest inside the table's gate. */
class Vcpu : public detail::Handle<memslots_vcpu, memslots_vcpu_close> {
public:
    /* Why run() returned. */
    struct Turn {
        /* MEMSLOTS_OK: kvm_run describes the exit. MEMSLOTS_INTERRUPTED, MEMSLOTS_NOT_READY: check
         * your own conditions, and run it again. */
        std::int32_t code;
        /* MEMSLOTS_KICK_* of those who asked it to leave. */
        std::uint32_t requests;

        bool exited() const noexcept { return code == MEMSLOTS_OK; }
        /* Whether kick() was called. It may come with any code. */
        bool kicked() const noexcept { return requests & MEMSLOTS_KICK_EMBEDDER; }
    };

    Vcpu() = default;
    /* KVM_RUN. Call accept_kicks() once on the thread before. */
    Turn run() const {
        Turn turn{0, 0};
        turn.code = check(memslots_vcpu_run(raw_, &turn.requests));
        return turn;
    }
    /* Makes it leave the guest, or prevents its next entry. Any thread. */
    void kick() const { check(memslots_vcpu_kick(raw_)); }
    void drain_dirty_ring() const { check(memslots_vcpu_drain_dirty_ring(raw_)); }

private:
    friend class Table;
};

/* Unblocks the kick signal for the calling thread, which is going to run vCPUs. */
inline void accept_kicks(std::int32_t kick_signal = 0) { check(memslots_accept_kicks(kick_signal)); }

/* ---- Hooks and observers ----------------------------------------------------------------- */

/* Keeps another user of guest memory in step. Each function may be empty. */
struct HookFunctions {
    using Function = std::function<void(const memslots_change &)>;
    /* The hook's name in errors. */
    std::string name = "hook";
    /* Hold vCPUs out for every transaction. */
    bool needs_quiescence = false;
    /* An exception vetoes the transaction; its what() is the reason. */
    Function prepare{};
    Function commit{};
    Function finish{};
    Function abort{};
};

namespace detail {

inline std::int32_t hook_prepare(void *context, const memslots_change *change, char *reason,
                                 std::size_t capacity) noexcept {
    const char *text = nullptr;
    const auto copy = [&](const char *what) {
        if (capacity == 0) return;
        std::strncpy(reason, what, capacity - 1);
        reason[capacity - 1] = 0;
    };
    try {
        static_cast<HookFunctions *>(context)->prepare(*change);
        return 0;
    } catch (const std::exception &exception) {
        copy(exception.what());
    } catch (...) {
        text = "the hook threw an object that is no std::exception";
    }
    if (text != nullptr) copy(text);
    return 1;
}

template <HookFunctions::Function HookFunctions::*Step>
void hook_step(void *context, const memslots_change *change) noexcept {
    contained([&] { (static_cast<HookFunctions *>(context)->*Step)(*change); });
}

template <typename Context> void release(void *context) noexcept {
    contained([&] { delete static_cast<Context *>(context); });
}

using Observer = std::function<void(const memslots_event &)>;

inline void observe(void *context, const memslots_event *event) noexcept {
    contained([&] { (*static_cast<Observer *>(context))(*event); });
}

} // namespace detail

/* Keeps a hook added. Destroying it removes the hook for the transactions that begin afterwards. */
class Hook : public detail::Handle<memslots_hook, memslots_hook_remove> {
    friend class Table;
};

/* Keeps an observer. Destroying it ends the observation. */
class Observation : public detail::Handle<memslots_observation, memslots_observation_end> {
public:
    Observation() = default;
    /* The generation before the first event. */
    std::uint64_t generation() const noexcept { return generation_; }

private:
    friend class Table;
    std::uint64_t generation_ = 0;
};

/* ---- Tables ------------------------------------------------------------------------------ */

/* The memory of one VM. Destroying it leaves the slots in the VM. */
class Table : public detail::Handle<memslots_table, memslots_close> {
public:
    Table() = default;

    /* A table on a VM of this process. The caller keeps the descriptor. */
    static Table kvm(int vm_descriptor, const memslots_kvm_options *options = nullptr) {
        Table table;
        check(memslots_open_kvm(vm_descriptor, options, &table.raw_));
        return table;
    }
    /* A table on a simulated VM, for tests. */
    static Table simulator(const memslots_simulator_options *options = nullptr) {
        Table table;
        check(memslots_open_simulator(options, &table.raw_));
        return table;
    }

    memslots_capabilities capabilities() const {
        memslots_capabilities limits = MEMSLOTS_INIT(memslots_capabilities);
        check(memslots_get_capabilities(raw_, &limits));
        return limits;
    }

    /* Replaces the VM's memory by `slots`, the complete array, in one transaction. After an Error the
     * VM has the previous array; MEMSLOTS_FAILED is the exception. */
    Receipt submit(const List<memslots_slot> &slots, const SubmitOptions &options = {}) const {
        return transact(memslots_submit, slots, options);
    }
    /* The receipt that submit() would return. Changes nothing. */
    Receipt plan(const List<memslots_slot> &slots, const SubmitOptions &options = {}) const {
        return transact(memslots_plan, slots, options);
    }

    /* The current slots. */
    Array array() const {
        Array now;
        now.slots = list([&](memslots_slot *items, std::size_t capacity, std::size_t *count) {
            return memslots_get(raw_, items, capacity, count, &now.generation);
        });
        return now;
    }
    /* The private ranges, ascending and merged. */
    std::vector<memslots_range> private_ranges() const {
        return detail::list<memslots_range>(
            [&](memslots_range *items, std::size_t capacity, std::size_t *count) {
                return memslots_get_private_ranges(raw_, items, capacity, count, nullptr);
            });
    }
    /* The slots that are really installed, after MEMSLOTS_FAILED; nothing if it has not failed. */
    std::optional<std::vector<memslots_slot>> failure() const {
        try {
            return list([&](memslots_slot *items, std::size_t capacity, std::size_t *count) {
                return memslots_failure(raw_, items, capacity, count);
            });
        } catch (const Error &error) {
            if (error.code() == MEMSLOTS_NOT_SUPPORTED) return std::nullopt;
            throw;
        }
    }
    /* Retries the undo of a failed table. */
    void recover() const {
        detail::rethrowing([&] { return memslots_recover(raw_); });
    }
    void release_vcpus() const { check(memslots_release_vcpus(raw_)); }

    /* Reads which of `page_count` pages of a slot, from `first_page`, a multiple of 64, the guest has
     * written. With `clear` exactly the returned bits are cleared. */
    DirtyLog dirty_log(std::uint32_t slot, std::uint64_t first_page, std::uint64_t page_count,
                       bool clear, std::uint32_t address_space = 0) const {
        DirtyLog log;
        log.first_page = first_page;
        if (page_count == 0) return log;
        // No slot has more than 2^31 - 1 pages, and the bitmap comes before the library's own check.
        if (page_count > std::uint64_t{1} << 31)
            throw Error(MEMSLOTS_BAD_ARGUMENT, "dirty_log: no slot has that many pages");
        log.words.resize((page_count - 1) / 64 + 1);
        check(memslots_dirty_log(raw_, address_space, slot, first_page, page_count, clear,
                                 log.words.data(), log.words.size(), &log.count));
        return log;
    }

    /* Translates one address. A submit may change this right after: to use memory, enter a reader. */
    memslots_span translate(std::uint64_t guest_physical_address,
                            std::uint32_t address_space = 0) const {
        memslots_span span{};
        const std::int32_t code =
            memslots_translate(raw_, address_space, guest_physical_address, &span);
        if (code >= 0) return span;
        Error error(code);
        if (code == MEMSLOTS_NOT_MAPPED) error.address_ = guest_physical_address;
        throw error;
    }

    /* Registers a reader. Receipts and errors contain its name if a submit waits for it. */
    Reader reader(const char *name) const {
        Reader reader;
        check(memslots_reader_open(raw_, name, &reader.raw_));
        return reader;
    }

    /* Registers a vCPU. The caller keeps its descriptor and its mapping longer than the Vcpu. */
    Vcpu vcpu(int descriptor, void *kvm_run, std::uint32_t id = 0, const char *name = nullptr,
              std::int32_t kick_signal = 0) const {
        memslots_vcpu_options options = MEMSLOTS_INIT(memslots_vcpu_options);
        options.descriptor = descriptor;
        options.kvm_run = kvm_run;
        options.id = id;
        options.name = name;
        options.kick_signal = kick_signal;
        Vcpu vcpu;
        check(memslots_vcpu_open(raw_, &options, &vcpu.raw_));
        return vcpu;
    }

    /* Runs `body` inside the gate and returns its value. Submitting threads call `kick` while it runs
     * or is about to. */
    template <typename Body>
    auto guarded(const char *name, Body &&body, const std::function<void()> &kick = {}) const
        -> std::decay_t<decltype(body())> {
        using Result = std::decay_t<decltype(body())>;
        using Kept = std::conditional_t<std::is_void_v<Result>, bool, std::optional<Result>>;
        struct Context {
            Body &body;
            const std::function<void()> &kick;
            Kept result{};
        } context{body, kick};
        const auto run = [](void *place) {
            detail::contained([&] {
                Context &its = *static_cast<Context *>(place);
                if constexpr (std::is_void_v<Result>) its.body();
                else its.result.emplace(its.body());
            });
        };
        const auto kick_it = [](void *place) {
            detail::contained([&] { static_cast<Context *>(place)->kick(); });
        };
        detail::rethrowing([&] {
            return memslots_guarded(raw_, name, run, kick ? +kick_it : nullptr, &context);
        });
        if constexpr (!std::is_void_v<Result>) return std::move(*context.result);
    }

    /* Adds a hook for the transactions that begin afterwards, until the Hook is destroyed. */
    Hook add_hook(HookFunctions functions) const {
        auto context = std::make_unique<HookFunctions>(std::move(functions));
        memslots_hook_functions raw = MEMSLOTS_INIT(memslots_hook_functions);
        raw.name = context->name.c_str();
        raw.needs_quiescence = context->needs_quiescence;
        if (context->prepare) raw.prepare = detail::hook_prepare;
        if (context->commit) raw.commit = detail::hook_step<&HookFunctions::commit>;
        if (context->finish) raw.finish = detail::hook_step<&HookFunctions::finish>;
        if (context->abort) raw.abort = detail::hook_step<&HookFunctions::abort>;
        raw.release = detail::release<HookFunctions>;
        raw.context = context.get();
        Hook hook;
        std::int32_t code = memslots_hook_add(raw_, &raw, &hook.raw_);
        // A refused handle of the table is the one error after which nobody releases the context.
        if (code != MEMSLOTS_BAD_HANDLE) context.release();
        check(code);
        return hook;
    }

    /* Calls `observer` for every event from now on, until the Observation is destroyed. */
    Observation observe(std::function<void(const memslots_event &)> observer) const {
        auto context = std::make_unique<detail::Observer>(std::move(observer));
        Observation observation;
        std::int32_t code =
            memslots_observe(raw_, detail::observe, detail::release<detail::Observer>,
                             context.get(), &observation.generation_, &observation.raw_);
        if (code != MEMSLOTS_BAD_HANDLE) context.release();
        check(code);
        return observation;
    }

    /* Of a simulated VM: a write of the guest; a fault of an operation; what is installed. */
    void simulator_touch(std::uint64_t address, std::uint64_t size,
                         std::uint32_t address_space = 0) const {
        check(memslots_simulator_touch(raw_, address_space, address, size));
    }
    void simulator_fail(std::uint32_t operation, std::int32_t kernel_errno,
                        std::uint32_t times = 1) const {
        check(memslots_simulator_fail(raw_, operation, kernel_errno, times));
    }
    void simulator_clear_faults() const { check(memslots_simulator_clear_faults(raw_)); }
    std::vector<memslots_slot> simulator_installed() const {
        return list([&](memslots_slot *items, std::size_t capacity, std::size_t *count) {
            return memslots_simulator_installed(raw_, items, capacity, count);
        });
    }

private:
    template <typename Fill> static std::vector<memslots_slot> list(const Fill &fill) {
        return detail::list<memslots_slot>(fill);
    }

    template <typename Function>
    Receipt transact(Function function, const List<memslots_slot> &slots,
                     const SubmitOptions &options) const {
        memslots_submit_options raw = MEMSLOTS_INIT(memslots_submit_options);
        raw.has_expected_generation = options.expected_generation.has_value();
        raw.expected_generation = options.expected_generation.value_or(0);
        raw.always_quiesce = options.always_quiesce;
        raw.continuity = options.continuity;
        if (options.private_ranges) {
            raw.sets_private_ranges = true;
            raw.private_range_count = options.private_ranges->size();
            raw.private_ranges = options.private_ranges->data();
        }
        // A deadline that C can't express is the longest that it can, which is 49 days.
        const auto deadline = options.quiesce_deadline.count();
        if (deadline < 0)
            throw Error(MEMSLOTS_BAD_ARGUMENT, "quiesce_deadline is negative; 0 is a second");
        raw.quiesce_deadline_milliseconds =
            deadline < UINT32_MAX ? static_cast<std::uint32_t>(deadline) : UINT32_MAX;
        Receipt receipt;
        detail::rethrowing(
            [&] { return function(raw_, slots.data(), slots.size(), &raw, &receipt.raw_); });
        return receipt;
    }
};

} // namespace memslots

#endif /* MEMSLOTS_HPP */
