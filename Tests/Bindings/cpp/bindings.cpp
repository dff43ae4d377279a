/* memslots.hpp on the simulator; with the argument `kvm` a guest that counts on KVM. */
#include <memslots.hpp>

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <thread>

using memslots::Error;
using memslots::Table;

/* Threads count too. */
static std::atomic<int> checks{0};

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        checks++;                                                                                  \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);           \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

/* The Error that `body` throws. */
template <typename Body> static Error error_of(const Body &body) {
    try {
        body();
    } catch (const Error &error) {
        return error;
    }
    std::fprintf(stderr, "no error was thrown\n");
    std::exit(1);
}

static constexpr std::uint64_t page = 4096;

/* Memory of the guest. */
struct Mapping {
    std::size_t size;
    std::uint8_t *start;

    explicit Mapping(std::size_t pages)
        : size(pages * page),
          start(static_cast<std::uint8_t *>(mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
        CHECK(start != MAP_FAILED);
    }
    Mapping(const Mapping &) = delete;
    Mapping &operator=(const Mapping &) = delete;
    ~Mapping() { munmap(start, size); }
};

static_assert(!std::is_copy_constructible_v<Table> && std::is_nothrow_move_constructible_v<Table>);
static_assert(!std::is_copy_constructible_v<memslots::Receipt>);
static_assert(!std::is_move_constructible_v<memslots::View>);

static void transactions() {
    Mapping ram(16);
    Table table = Table::simulator();
    CHECK(table.capabilities().max_slots == 32764);
    memslots::Receipt first = table.submit({memslots::slot(0, ram.start, ram.size)});
    CHECK(first->generation == 1 && first->retired && !first.unchanged());

    auto [low, high] = memslots::split(first.slots().at(0), 4 * page);
    CHECK(high.guest_physical_address == 4 * page && high.size == 12 * page);
    memslots::Receipt plan = table.plan({low, high});
    memslots::Receipt split = table.submit({low, high});
    CHECK(plan.operations().size() == 3 && split.operations().size() == 3);
    CHECK(split.operations()[0].call == MEMSLOTS_DELETE && split.blackout().count() > 0);
    CHECK(table.submit(split.slots()).unchanged());
    CHECK(table.array().generation == 2 && table.array().slots.size() == 2);
    CHECK(table.translate(5 * page).address == ram.start + 5 * page);
    bool thrown = false;
    try {
        memslots::split(low, 0);
    } catch (const std::out_of_range &) {
        thrown = true;
    }
    CHECK(thrown);

    Table moved = std::move(table);
    CHECK(moved.array().slots.size() == 2);
    CHECK(error_of([&] { table.array(); }).code() == MEMSLOTS_BAD_HANDLE);
    memslots::Receipt taken = std::move(split);
    CHECK(taken.slots().size() == 2);
    table = std::move(moved);
    memslots::Reader reader = table.reader("device");
    CHECK(error_of([&] { moved.array(); }).code() == MEMSLOTS_BAD_HANDLE);
    taken = memslots::Receipt();
    CHECK(taken->generation == 0 && taken->details == 0);
    const std::array<memslots_slot, 2> both{low, high};
    CHECK(table.plan(both).unchanged());
    table = Table();
    CHECK(reader.enter().generation() == 2);
    memslots::Reader other;
    other = std::move(reader);
    CHECK(error_of([&] { reader.enter(); }).code() == MEMSLOTS_BAD_HANDLE);
    memslots::Reader &same = other;
    other = std::move(same);
    CHECK(other.enter().generation() == 2);
}

/* What is assigned to is released at once, not when the other handle goes. */
static void assignment() {
    Table table = Table::simulator();
    auto alive = std::make_shared<int>(0);
    memslots::HookFunctions functions;
    functions.finish = [alive](const memslots_change &) {};
    memslots::Hook hook = table.add_hook(functions), none = table.add_hook({});
    functions = {};
    memslots::Observation seen = table.observe([alive](const memslots_event &) {}), nothing;
    CHECK(alive.use_count() == 3);
    hook = std::move(none);
    CHECK(alive.use_count() == 2);
    seen = std::move(nothing);
    CHECK(alive.use_count() == 1);
}

static void errors() {
    Mapping ram(4);
    Table table = Table::simulator();
    const memslots_slot whole = memslots::slot(0, ram.start, ram.size, 0, 0);
    Error invalid = error_of([&] { table.submit({whole, whole}); });
    CHECK(invalid.code() == MEMSLOTS_INVALID_ARRAY && invalid.violations().size() == 2);
    CHECK(invalid.violations()[1].kind == std::string("overlap"));
    CHECK(invalid.name() == std::string("invalid-array") && invalid.what()[0] != 0);

    table.simulator_fail(0, ENOMEM);
    Error undone = error_of([&] { table.submit({whole}); });
    CHECK(undone.code() == MEMSLOTS_ROLLED_BACK && undone.kernel_errno() == ENOMEM);
    table.submit({whole});
    memslots::SubmitOptions options;
    options.expected_generation = 7;
    CHECK(error_of([&] { table.submit({}, options); }).code() == MEMSLOTS_CONFLICT);
    options = {};
    options.quiesce_deadline = std::chrono::milliseconds(-1);
    CHECK(error_of([&] { table.submit({}, options); }).code() == MEMSLOTS_BAD_ARGUMENT);
    options.quiesce_deadline = std::chrono::milliseconds::max();
    CHECK(table.submit({whole}, options).unchanged());
    options = {};
    options.private_ranges = {{0x2000, 0x1000}, {0x1000, 0x1000}};
    CHECK(table.capabilities().memory_attributes && !table.submit({whole}, options).unchanged());
    CHECK(table.private_ranges().size() == 1 && table.private_ranges()[0].size == 0x2000);
    CHECK(table.submit({whole}).unchanged());
    options.private_ranges = {{0x1800, 0x1000}};
    CHECK(error_of([&] { table.submit({whole}, options); }).violations()[0].path ==
          std::string("attributes[0].guest_physical_address"));
    options.private_ranges.emplace();
    CHECK(!table.submit({whole}, options).unchanged() && table.private_ranges().empty());
    const Error unmapped = error_of([&] { table.translate(ram.size + 7); });
    CHECK(unmapped.code() == MEMSLOTS_NOT_MAPPED && unmapped.address() == ram.size + 7);
    CHECK(error_of([&] { table.dirty_log(0, 0, UINT64_MAX, true); }).code() ==
          MEMSLOTS_BAD_ARGUMENT);
    CHECK(!table.failure());
    auto [low, high] = memslots::split(whole, page);
    table.simulator_fail(1, ENOMEM);
    table.simulator_fail(2, EIO);
    CHECK(error_of([&, l = low, h = high] { table.submit({l, h}); }).code() == MEMSLOTS_FAILED);
    CHECK(table.failure()->empty() && table.simulator_installed().empty());
    table.simulator_clear_faults();
    table.recover();
    CHECK(table.simulator_installed().size() == 1);
}

static void reading_and_dirty_pages() {
    Mapping ram(200);
    Table table = Table::simulator();
    const memslots_slot whole =
        memslots::slot(0, ram.start, ram.size, MEMSLOTS_LOG_DIRTY_PAGES, 0);
    auto [low, high] = memslots::split(whole, 64 * page);
    table.submit({low, high});
    table.simulator_touch(3 * page, page);
    table.simulator_touch(70 * page, 2 * page);
    CHECK(table.dirty_log(0, 0, 64, true).pages() == std::vector<std::uint64_t>{3});
    CHECK(table.dirty_log(0, 0, 64, true).count == 0);
    CHECK(table.dirty_log(0, 0, 0, true).words.empty());
    memslots::Receipt last = table.submit({low});
    CHECK(last.dirty_runs().at(0).first_page == 6 && last.dirty_runs()[0].page_count == 2);
    table.submit({low, high});

    memslots::Reader reader = table.reader("device");
    memslots::View view = reader.enter();
    const auto &spans = view.translate(64 * page - 3, 6);
    CHECK(spans.size() == 2 && spans[0].size == 3 && spans[1].size == 3);
    const memslots_range chain[] = {{0, 1}, {199 * page, 2 * page}};
    Error hole = error_of([&] { view.translate(chain); });
    CHECK(hole.code() == MEMSLOTS_NOT_MAPPED && hole.address() == 200 * page && hole.range() == 1);
    CHECK(error_of([&] { reader.enter(); }).code() == MEMSLOTS_NOT_INSIDE);
    CHECK(error_of([&] { table.submit({}); }).code() == MEMSLOTS_REENTRANT);
    std::vector<memslots_range> many(100, memslots_range{0, page});
    CHECK(view.translate(many).size() == 100);
}

static void callbacks() {
    Mapping ram(4);
    Table table = Table::simulator(), other = Table::simulator();
    const memslots_slot whole = memslots::slot(0, ram.start, ram.size, 0, 0);
    std::string log;
    const auto recorder = [&log](const char *step) {
        return [&log, step](const memslots_change &change) {
            log += std::string(step) + std::to_string(change.kind) + " ";
        };
    };
    memslots::HookFunctions functions;
    functions.name = "recorder";
    functions.prepare = recorder("prepare");
    functions.commit = recorder("commit");
    functions.finish = recorder("finish");
    functions.abort = recorder("abort");
    memslots::Hook hook = table.add_hook(functions);
    table.submit({whole});
    CHECK(log == "prepare0 commit0 finish0 ");
    {
        memslots::HookFunctions vetoes;
        vetoes.prepare = [](const memslots_change &) { throw std::runtime_error("no room"); };
        memslots::Hook veto = table.add_hook(vetoes);
        Error rejected = error_of([&] { table.submit({}); });
        CHECK(rejected.code() == MEMSLOTS_REJECTED);
        CHECK(std::string(rejected.what()).find("no room") != std::string::npos);
        vetoes.prepare = [](const memslots_change &) { throw 7; };
        veto = table.add_hook(vetoes);
    }
    {
        memslots::HookFunctions throws;
        throws.prepare = [&](const memslots_change &) {
            CHECK(table.array().generation == 1);
            CHECK(error_of([&] { table.submit({}); }).code() == MEMSLOTS_REENTRANT);
            other.submit({whole});
        };
        throws.commit = [](const memslots_change &) { throw std::logic_error("in commit"); };
        memslots::Hook late = table.add_hook(throws);
        std::string what;
        try {
            table.submit({});
        } catch (const std::logic_error &error) {
            what = error.what();
        }
        CHECK(what == "in commit" && table.array().slots.empty());
        CHECK(other.array().slots.size() == 1);
    }
    std::vector<std::uint32_t> kinds;
    {
        memslots::Observation observation =
            table.observe([&](const memslots_event &event) { kinds.push_back(event.kind); });
        CHECK(observation.generation() == 2);
        table.simulator_fail(0, ENOMEM);
        error_of([&] { table.submit({whole}); });
        table.submit({whole});
    }
    table.submit({});
    CHECK((kinds == std::vector<std::uint32_t>{MEMSLOTS_EVENT_ROLLED_BACK, MEMSLOTS_EVENT_COMMITTED}));

    CHECK(table.guarded("ioctl", [] { return std::string("value"); }) == "value");
    table.guarded("ioctl", [&] { log.clear(); });
    CHECK(log.empty());
    std::string what;
    try {
        table.guarded("ioctl", [] { throw std::logic_error("in the body"); });
    } catch (const std::logic_error &error) {
        what = error.what();
    }
    CHECK(what == "in the body");
}

/* ---- KVM --------------------------------------------------------------------------------- */

static int call(int descriptor, unsigned long request, const void *argument) {
    int result = ioctl(descriptor, request, argument);
    if (result < 0) {
        std::perror("ioctl");
        std::exit(1);
    }
    return result;
}

static void kvm() {
    constexpr std::uint64_t code = 0x1000, rounds = 0x2000, ram_at = 0x40000000;
    static const std::uint8_t program[] = {
        0x31, 0xff,                         /* again: xor di, di            */
        0x66, 0xff, 0x05,                   /* next:  inc dword [di]        */
        0x81, 0xc7, 0x00, 0x10,             /*        add di, 0x1000        */
        0x75, 0xf7,                         /*        jnz next              */
        0x2e, 0x66, 0xff, 0x06, 0x00, 0x20, /*        inc dword cs:[rounds] */
        0xeb, 0xed,                         /*        jmp again             */
    };
    int system = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(system >= 0);
    int vm = call(system, KVM_CREATE_VM, nullptr);
    const std::uint64_t identity_map = 0xfeffc000;
    call(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    call(vm, KVM_SET_TSS_ADDR, reinterpret_cast<void *>(0xfeffd000));
    Mapping low(16), ram(16);
    std::memcpy(low.start + code, program, sizeof program);
    int bytes = call(system, KVM_GET_VCPU_MMAP_SIZE, nullptr);
    int descriptor = call(vm, KVM_CREATE_VCPU, nullptr);
    void *run = mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED,
                     descriptor, 0);
    CHECK(run != MAP_FAILED);
    struct kvm_sregs system_registers;
    call(descriptor, KVM_GET_SREGS, &system_registers);
    system_registers.cs.base = 0;
    system_registers.cs.selector = 0;
    system_registers.ds.base = ram_at;
    system_registers.ds.limit = 0xffffffff;
    system_registers.ds.g = 1;
    call(descriptor, KVM_SET_SREGS, &system_registers);
    struct kvm_regs registers = {};
    registers.rip = code;
    registers.rflags = 2;
    call(descriptor, KVM_SET_REGS, &registers);
    {
        Table table = Table::kvm(vm);
        const memslots_slot boot = memslots::slot(0, low.start, low.size, 0, 0);
        const memslots_slot whole = memslots::slot(ram_at, ram.start, ram.size, 0, 1);
        const auto halves = memslots::split(whole, ram_at + 8 * page);
        table.submit({boot, whole});
        memslots::Vcpu vcpu = table.vcpu(descriptor, run);
        CHECK(error_of([&] { table.vcpu(descriptor, run); }).code() == MEMSLOTS_BAD_ARGUMENT);
        std::atomic<bool> left{false};
        std::thread guest([&] {
            memslots::accept_kicks();
            memslots::Vcpu::Turn turn{};
            do turn = vcpu.run();
            while (!turn.exited() && !turn.kicked());
            CHECK(!turn.exited());
            left = true;
        });
        const auto *counter = reinterpret_cast<std::atomic<std::uint32_t> *>(low.start + rounds);
        for (int turn = 0; turn < 200; turn++) {
            memslots::Receipt receipt = turn % 2 == 0
                                            ? table.submit({boot, halves.first, halves.second})
                                            : table.submit({boot, whole});
            CHECK(receipt->quiesced && receipt->retired && receipt.hold_reason() == "overlap");
            const std::uint32_t before = *counter;
            while (*counter == before && !left) std::this_thread::yield();
            CHECK(!left);
        }
        vcpu.kick();
        guest.join();
        for (std::size_t at = 0; at < 16; at++) {
            std::uint32_t counted;
            std::memcpy(&counted, ram.start + at * page, sizeof counted);
            /* The guest may have been stopped in the middle of a round. */
            CHECK(counted == *counter || counted == *counter + 1);
        }
        table.submit({});
    }
    munmap(run, static_cast<std::size_t>(bytes));
    close(descriptor);
    close(vm);
    close(system);
}

int main(int argc, char **argv) {
    if (argc > 1 && std::string(argv[1]) == "kvm") {
        kvm();
    } else {
        transactions();
        assignment();
        errors();
        reading_and_dirty_pages();
        callbacks();
    }
    std::printf("%d checks passed\n", checks.load());
    return 0;
}
