// A guest without firmware or operating system. Its first processor changes the memory map when the
// test asks for it over the serial line; the others read and increment words of RAM meanwhile. A
// word that is not what its processor wrote last was missing: the access left the guest.
#include <stdint.h>

#define WORDS ((volatile uint32_t *)0x1000000)
#define PAGES 256
extern volatile uint32_t processors;
extern const uint32_t start_info;
static volatile uint32_t stops, stopped;
static volatile uint64_t rounds, spurious;

static void out8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
static uint8_t in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static void out32(uint16_t port, uint32_t value) {
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}
static uint32_t in32(uint16_t port) {
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void print(const char *text) {
    while (*text) out8(0x3f8, (uint8_t)*text++);
}
static void print_number(uint64_t number) {
    char digits[24];
    int first = 23;
    digits[first] = 0;
    do digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    print(digits + first);
}
static uint8_t read_byte(void) {
    while (!(in8(0x3fd) & 1)) __asm__ volatile("pause");
    return in8(0x3f8);
}
static uint64_t read_number(void) {
    uint64_t number = 0;
    for (;;) {
        uint8_t digit = read_byte();
        if (digit < '0' || digit > '9') return number;
        number = number * 10 + digit - '0';
    }
}

static uint32_t config(uint32_t device, uint32_t reg) {
    out32(0xcf8, 0x80000000 | device << 11 | reg);
    return in32(0xcfc);
}
static void set_config(uint32_t device, uint32_t reg, uint32_t value) {
    out32(0xcf8, 0x80000000 | device << 11 | reg);
    out32(0xcfc, value);
}

// Makes 0xc0000 to 0xdffff alternately read-only and writable.
static void flip(uint64_t count) {
    uint32_t reg = config(0, 0) >> 16 == 0x29c0 ? 0x90 : 0x58;
    uint64_t bad = 0;
    for (uint64_t i = 0; i < count; i++) {
        int writable = i & 1;
        set_config(0, reg, (config(0, reg) & 0xffff) | (writable ? 0x33330000 : 0x11110000));
        set_config(0, reg + 4, writable ? 0x00333333 : 0x00111111);
        volatile uint64_t *word = (volatile uint64_t *)0xd0000;
        *word = i * 77;
        if (writable && *word != i * 77) bad++;
    }
    print("FLIPS ");
    print_number(count);
    print(" bad ");
    print_number(bad);
    print("\n");
}

// Moves the display's first BAR between two addresses.
static void move(uint64_t count) {
    uint32_t device = 0;
    while (device < 32 && config(device, 0) != 0x11111234) device++;
    set_config(device, 4, config(device, 4) | 2);
    uint64_t bad = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t address = i & 1 ? 0xe0000000 : 0xd0000000;
        set_config(device, 0x10, (uint32_t)address);
        volatile uint32_t *word = (volatile uint32_t *)address;
        if (i > 0 && *word != (uint32_t)i) bad++;
        *word = (uint32_t)i + 1;
    }
    print("MOVES ");
    print_number(device < 32 ? count : 0);
    print(" bad ");
    print_number(bad);
    print("\n");
}

// Writes and reads memory that was plugged, at 4 GiB.
static void use_plugged(uint64_t megabytes) {
    uint64_t bad = 0;
    for (int pass = 0; pass < 2; pass++)
        for (uint64_t page = 0; page < megabytes * 256; page++) {
            volatile uint64_t *word = (volatile uint64_t *)(0x100000000 + page * 4096);
            if (pass == 0) *word = page * 5 + 1;
            else if (*word != page * 5 + 1) bad++;
        }
    print("PLUGGED bad ");
    print_number(bad);
    print("\n");
}

// Adds up the bytes of the first module that PVH passes.
static void read_initramfs(void) {
    const uint32_t *info = (const uint32_t *)(uint64_t)start_info;
    const uint64_t *module = info[3] ? *(uint64_t *const *)(info + 4) : 0;
    uint64_t sum = 0;
    for (uint64_t i = 0; module && i < module[1]; i++) sum += ((const uint8_t *)module[0])[i];
    print("INITRAMFS ");
    print_number(module ? module[1] : 0);
    print(" sum ");
    print_number(sum);
    print("\n");
}

static void start_others(void) {
    volatile uint32_t *command = (volatile uint32_t *)0xfee00300;
    *(volatile uint32_t *)0xfee000f0 |= 0x100;
    *command = 0x000c4500;
    for (int i = 0; i < 10000; i++) in8(0x80);
    *command = 0x000c4608;
    while (rounds == 0) __asm__ volatile("pause");
    print("WITNESS\n");
}

static void end(void) {
    stops = 1;
    while (stopped + 1 < processors) __asm__ volatile("pause");
    print("END rounds ");
    print_number(rounds);
    print(" spurious ");
    print_number(spurious);
    print("\n");
}

void other_processor(uint32_t number) {
    for (uint32_t round = 0; !stops; round++) {
        for (uint32_t page = 0; page < PAGES; page++) {
            volatile uint32_t *word = WORDS + page * 1024 + number;
            if (*word != round) __atomic_add_fetch(&spurious, 1, __ATOMIC_SEQ_CST);
            *word = round + 1;
        }
        __atomic_add_fetch(&rounds, 1, __ATOMIC_SEQ_CST);
    }
    __atomic_add_fetch(&stopped, 1, __ATOMIC_SEQ_CST);
}

void boot_processor(void) {
    print("UP\n");
    for (;;) {
        switch (read_byte()) {
        case 'w': start_others(); break;
        case 'p': flip(read_number()); break;
        case 'b': move(read_number()); break;
        case 'd': use_plugged(read_number()); break;
        case 'i': read_initramfs(); break;
        case 'e': end(); break;
        default: break;
        }
    }
}
