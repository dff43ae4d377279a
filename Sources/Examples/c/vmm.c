/*
 * A small VMM in C: a guest counts in sixteen pages while its memory changes.
 * Sources/Examples/swift/ExampleVMM is the same program in Swift.
 *
 *     cc vmm.c $(pkg-config --cflags --libs memslots) -lpthread -o vmm && ./vmm
 *
 * Without KVM, or with the argument `simulated`, it makes the same changes on the simulator. With the
 * path of a socket, as of qemu-storage-daemon, a vhost-user back end follows the guest's memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <memslots.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 16, PART = PAGES * PAGE };
enum { CODE = 0x1000, ROUNDS = 0x2000, LIMIT = 0x2004, PORT = 0x80 };

static const uint64_t RAM_AT = 0x40000000, BAR_AT = 0xe0000000, NEW_BAR_AT = 0xf0000000,
                      DIMM_AT = 0x100000000;

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, memslots_error_message());
    exit(1);
}

static void die_errno(const char *what) {
    perror(what);
    exit(1);
}

/* ---- The guest's memory: one mapping, and slots for parts of it. ---- */

static uint8_t *memory;
static int memory_file;

static memslots_slot slot(uint32_t id, uint64_t address) {
    return (memslots_slot){
        .slot = id,
        .guest_physical_address = address,
        .size = PART,
        .userspace_address = (uint64_t)(uintptr_t)memory + (uint64_t)id * PART,
        .memory_object = 1,
        .memory_offset = (uint64_t)id * PART,
    };
}

/* The same pages as two slots, the second under another id. */
static void split(memslots_slot whole, memslots_slot halves[2]) {
    halves[0] = halves[1] = whole;
    halves[0].size = halves[1].size = whole.size / 2;
    halves[1].slot = 4;
    halves[1].guest_physical_address += whole.size / 2;
    halves[1].userspace_address += whole.size / 2;
    halves[1].memory_offset += whole.size / 2;
}

static memslots_slot logged(memslots_slot one) {
    one.flags |= MEMSLOTS_LOG_DIRTY_PAGES;
    return one;
}

/* ---- The machine ---- */

static memslots_table table;
static memslots_vcpu vcpu;
static struct kvm_run *run;
static pthread_t vcpu_thread;
static sem_t reached;
static const char *fault;
static int on_kvm;

/* Adds one to a number in each page of the RAM, counts the rounds, and writes to a port at a limit. */
static const uint8_t program[] = {
    0x31, 0xff,                         /* again: xor di, di                */
    0x66, 0xff, 0x05,                   /* next:  inc dword [di]            */
    0x81, 0xc7, 0x00, 0x10,             /*        add di, 0x1000            */
    0x75, 0xf7,                         /*        jnz next                  */
    0x2e, 0x66, 0xff, 0x06, 0x00, 0x20, /*        inc dword cs:[ROUNDS]     */
    0x2e, 0x66, 0xa1, 0x00, 0x20,       /*        mov eax, cs:[ROUNDS]      */
    0x2e, 0x66, 0x3b, 0x06, 0x04, 0x20, /*        cmp eax, cs:[LIMIT]       */
    0x75, 0xe2,                         /*        jne again                 */
    0xe6, PORT,                         /*        out PORT, al              */
    0xeb, 0xde,                         /*        jmp again                 */
};

static uint32_t *word(uint64_t offset) { return (uint32_t *)(void *)(memory + offset); }

static void *run_vcpu(void *unused) {
    (void)unused;
    if (memslots_accept_kicks(0) < 0) die("memslots_accept_kicks");
    for (;;) {
        uint32_t requests = 0;
        /* Waits while a transaction holds vCPUs out; returns when one begins. */
        int32_t code = memslots_vcpu_run(vcpu, &requests);
        if (code < 0) die("memslots_vcpu_run");
        if (requests & MEMSLOTS_KICK_EMBEDDER) return NULL;
        if (code == MEMSLOTS_INTERRUPTED || code == MEMSLOTS_NOT_READY) continue;
        if (run->exit_reason == KVM_EXIT_IO && run->io.port == PORT) {
            sem_post(&reached);
            continue;
        }
        /* A guest with all of its memory has no other exit. */
        fault = "the guest left because memory was missing";
        return NULL;
    }
}

/* A VM and a vCPU, as any VMM creates them. */
static int make_vm(void) {
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) return -1;
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0) die_errno("KVM_CREATE_VM");
    uint64_t identity_map = 0xfeffc000;
    if (ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0) die_errno("KVM_SET_IDENTITY_MAP_ADDR");
    if (ioctl(vm, KVM_SET_TSS_ADDR, 0xfeffd000) < 0) die_errno("KVM_SET_TSS_ADDR");
    return vm;
}

static void start_vcpu(int vm) {
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    close(kvm);
    int descriptor = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (descriptor < 0) die_errno("KVM_CREATE_VCPU");
    run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (run == MAP_FAILED) die_errno("mmap of the vCPU");

    struct kvm_sregs system_registers;
    if (ioctl(descriptor, KVM_GET_SREGS, &system_registers) < 0) die_errno("KVM_GET_SREGS");
    system_registers.cs.base = 0;
    system_registers.cs.selector = 0;
    system_registers.ds.base = RAM_AT;
    system_registers.ds.limit = 0xffffffff;
    system_registers.ds.g = 1;
    if (ioctl(descriptor, KVM_SET_SREGS, &system_registers) < 0) die_errno("KVM_SET_SREGS");
    struct kvm_regs registers = {.rip = CODE, .rflags = 2};
    if (ioctl(descriptor, KVM_SET_REGS, &registers) < 0) die_errno("KVM_SET_REGS");

    memslots_vcpu_options options = MEMSLOTS_INIT(memslots_vcpu_options);
    options.descriptor = descriptor;
    options.kvm_run = run;
    if (memslots_vcpu_open(table, &options, &vcpu) < 0) die("memslots_vcpu_open");
    if (pthread_create(&vcpu_thread, NULL, run_vcpu, NULL) != 0) die_errno("pthread_create");
}

/* Lets the guest write to every page of the RAM some hundred times. */
static void work(void) {
    if (!on_kvm) {
        if (memslots_simulator_touch(table, 0, RAM_AT, PART) < 0) die("memslots_simulator_touch");
        return;
    }
    for (int turn = 0; turn < 10; turn++) {
        __atomic_store_n(word(LIMIT), __atomic_load_n(word(ROUNDS), __ATOMIC_SEQ_CST) + 500,
                         __ATOMIC_SEQ_CST);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        if (sem_timedwait(&reached, &until) == 0) return;
    }
    fprintf(stderr, "the guest makes no progress\n");
    exit(1);
}

/* ---- A device process that maps the guest's memory ---- */

static memslots_back_end back_end;

static int file_of(void *unused, uint32_t object) {
    (void)unused;
    return object == 1 ? memory_file : -1;
}

/* From here on each change is sent in its transaction. Start rings when the guest's driver is ready. */
static void attach(const char *path) {
    memslots_back_end_offer offer = MEMSLOTS_INIT(memslots_back_end_offer);
    memslots_back_end_options options = MEMSLOTS_INIT(memslots_back_end_options);
    options.name = "back end";
    options.descriptor = file_of;
    if (memslots_back_end_open(path, -1, 0, &back_end, &offer) < 0) die(path);
    if (memslots_back_end_attach(back_end, table, &options) < 0) die("memslots_back_end_attach");
}

static void detach(void) {
    memslots_back_end_status status = MEMSLOTS_INIT(memslots_back_end_status);
    if (memslots_back_end_get_status(back_end, &status) < 0) die("memslots_back_end_get_status");
    if (status.state != MEMSLOTS_BACK_END_ATTACHED) fault = "the back end was lost";
    printf("the back end has %u regions after %llu messages\n", status.regions,
           (unsigned long long)status.messages);
    if (memslots_back_end_close(back_end) < 0) die("memslots_back_end_close");
}

/* ---- The changes of the guest's memory ---- */

static void report(const char *step, const memslots_receipt *receipt) {
    static const char *const names[] = {"create", "delete", "move", "reflag"};
    memslots_operation operations[16];
    size_t count = 0;
    if (memslots_receipt_operations(receipt, operations, 16, &count) < 0)
        die("memslots_receipt_operations");
    printf("%s:", step);
    for (size_t i = 0; i < count; i++) {
        const memslots_operation *one = &operations[i];
        uint32_t id = one->call == MEMSLOTS_DELETE ? one->before.slot : one->after.slot;
        printf("%s %s %u", i ? "," : "", names[one->call], id);
    }
    if (receipt->quiesced)
        printf("; guest held for %llu µs\n",
               (unsigned long long)receipt->blackout_nanoseconds / 1000);
    else
        printf("; guest not held\n");
}

/* Each submit contains the whole array. Afterwards the VM has that array, or the previous one. */
static void change(const char *step, const memslots_slot *slots, size_t count) {
    memslots_receipt receipt = MEMSLOTS_INIT(memslots_receipt);
    if (memslots_submit(table, slots, count, NULL, &receipt) < 0) die(step);
    report(step, &receipt);
    memslots_receipt_release(&receipt);
    work();
}

static uint64_t dirty_pages(const memslots_slot *one) {
    uint64_t bits = 0, count = 0;
    if (memslots_dirty_log(table, 0, one->slot, 0, 0, true, &bits, 1, &count) < 0)
        die("memslots_dirty_log");
    return count;
}

static void tour(memslots_slot low, memslots_slot ram, memslots_slot bar) {
    memslots_slot moved = slot(2, NEW_BAR_AT), dimm = slot(3, DIMM_AT), halves[2];
    change("plug a DIMM", (memslots_slot[]){low, ram, bar, dimm}, 4);
    change("move a BAR", (memslots_slot[]){low, ram, moved, dimm}, 4);
    split(ram, halves);
    change("split the RAM", (memslots_slot[]){low, halves[0], halves[1], moved, dimm}, 5);
    change("merge it again", (memslots_slot[]){low, ram, moved, dimm}, 4);

    change("log dirty pages", (memslots_slot[]){low, logged(ram), moved, dimm}, 4);
    printf("first pass: send %llu of %d pages\n", (unsigned long long)dirty_pages(&ram), PAGES);
    work();
    split(logged(ram), halves);
    /* The halves of a split slot have the dirty bits of their pages. */
    change("split it while it logs", (memslots_slot[]){low, halves[0], halves[1], moved, dimm}, 5);
    for (int i = 0; i < 2; i++)
        printf("next pass, slot %u: send %llu of %d pages\n", halves[i].slot,
               (unsigned long long)dirty_pages(&halves[i]), PAGES / 2);
    work();

    memslots_receipt last = MEMSLOTS_INIT(memslots_receipt);
    if (memslots_submit(table, (memslots_slot[]){low, ram, moved, dimm}, 4, NULL, &last) < 0)
        die("log no more");
    report("log no more", &last);
    memslots_dirty_run runs[PAGES];
    size_t count = 0;
    if (memslots_receipt_dirty_runs(&last, runs, PAGES, &count) < 0) die("dirty runs");
    uint64_t unsent = 0;
    for (size_t i = 0; i < count; i++) unsent += runs[i].page_count;
    printf("dirty since, from the receipt: %llu pages\n", (unsigned long long)unsent);
    memslots_receipt_release(&last);
}

/* A device model translates guest addresses without a lock. */
static void read_as_a_device(void) {
    memslots_reader reader;
    memslots_view view;
    memslots_span spans[4];
    size_t count = 0;
    if (memslots_reader_open(table, "device", &reader) < 0) die("memslots_reader_open");
    if (memslots_reader_enter(reader, &view) < 0) die("memslots_reader_enter");
    if (memslots_view_translate(&view, 0, RAM_AT + 100, PAGE, spans, 4, &count) < 0)
        die("memslots_view_translate");
    printf("a device sees 4096 bytes of the RAM in %zu piece of slot %u\n", count, spans[0].slot);
    if (memslots_reader_leave(&view) < 0) die("memslots_reader_leave");
    if (memslots_reader_close(reader) < 0) die("memslots_reader_close");
}

static void stop(void) {
    if (!on_kvm) return;
    if (memslots_vcpu_kick(vcpu) < 0) die("memslots_vcpu_kick");
    pthread_join(vcpu_thread, NULL);
    if (memslots_vcpu_close(vcpu) < 0) die("memslots_vcpu_close");
    uint32_t rounds = *word(ROUNDS);
    for (int page = 0; page < PAGES; page++) {
        uint32_t counted = *word(PART + (uint64_t)page * PAGE);
        /* The guest may have been stopped in the middle of a round. */
        if (counted != rounds && counted != rounds + 1) fault = "increments were lost";
    }
}

int main(int argc, char **argv) {
    int is_simulated = argc > 1 && strcmp(argv[1], "simulated") == 0;
    const char *socket = argc > 1 + is_simulated ? argv[argc - 1] : NULL;
    int vm = is_simulated ? -1 : make_vm();
    on_kvm = vm >= 0;
    memory_file = memfd_create("guest", MFD_CLOEXEC);
    if (memory_file < 0 || ftruncate(memory_file, 4 * PART) < 0) die_errno("memfd_create");
    memory = mmap(NULL, 4 * PART, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file, 0);
    if (memory == MAP_FAILED) die_errno("mmap");
    memcpy(memory + CODE, program, sizeof program);
    sem_init(&reached, 0, 0);

    puts(on_kvm ? "A guest counts in 16 pages of memory; its memory changes under it."
                : "No KVM: this is the simulator; its own writes stand for a guest.");
    if ((on_kvm ? memslots_open_kvm(vm, NULL, &table) : memslots_open_simulator(NULL, &table)) < 0)
        die("open");
    memslots_slot low = slot(0, 0), ram = slot(1, RAM_AT), bar = slot(2, BAR_AT);
    if (memslots_submit(table, (memslots_slot[]){low, ram, bar}, 3, NULL, NULL) < 0) die("boot");
    if (on_kvm) start_vcpu(vm);
    if (socket) attach(socket);

    tour(low, ram, bar);
    read_as_a_device();
    if (socket) detach();
    stop();
    if (memslots_close(table) < 0) die("memslots_close");
    if (on_kvm) close(vm);
    if (fault) {
        fprintf(stderr, "%s\n", fault);
        return 1;
    }
    puts("The guest missed nothing: no spurious exit, no lost increment.");
    return 0;
}
