// Makes the calls of standard input on one VM, one a line, and compares what each returns.
//   kvm-probe [TYPE]   TYPE is the argument of KVM_CREATE_VM: on arm64 the bits of its addresses
//   kvm-probe hold     keeps a VM with a vCPU open
// A line is `WANTED CALL NUMBER…  # title`; WANTED is an errno's name, several with `|`, a number, or
// `-` for any. A line without a title is printed only if it differs. Exit status: how many lines
// differ, at most 100; 101 without KVM.
#include "CKVM.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int kvm, vm, file = -1;
static uint64_t n[8], bits[1 << 16], page;

static int set(uint32_t slot, uint64_t flags, uint64_t gpa, uint64_t size, uint64_t hva) {
    struct kvm_userspace_memory_region region = {slot, (uint32_t)flags, gpa, size, hva};
    return ckvm_set_user_memory_region(vm, &region);
}

// Prints the last page at which a slot may stand, and returns why the next is refused.
static int last_page(int of_user) {
    uint64_t accepted = 0, refused = UINT64_MAX / page;
    int why = 0;
    while (refused - accepted > 1) {
        uint64_t middle = accepted + (refused - accepted) / 2;
        int result = of_user ? set(0, 0, 0, page, middle * page) : set(0, 0, middle * page, page, 0);
        if (result == 0) set(0, 0, 0, 0, 0), accepted = middle;
        else refused = middle, why = result;
    }
    printf("%#llx ", (unsigned long long)(accepted * page));
    return why;
}

static int call(const char *name) {
    struct ckvm_region2 region = {(uint32_t)n[0], (uint32_t)n[1], n[2], n[3], n[4], n[6],
                                  (uint32_t)(n[5] ? file : -1), 0, {0}};
    if (!strcmp(name, "set")) return set((uint32_t)n[0], n[1], n[2], n[3], n[4]);
    if (!strcmp(name, "set2")) return ckvm_set_user_memory_region2(vm, &region);
    if (!strcmp(name, "log")) return ckvm_get_dirty_log(vm, (uint32_t)n[0], n[1] ? (void *)1 : bits);
    if (!strcmp(name, "clear"))
        return ckvm_clear_dirty_log(vm, (uint32_t)n[0], n[1], (uint32_t)n[2], n[3] ? (void *)1 : bits);
    if (!strcmp(name, "dirty")) {
        int count = 0;
        for (size_t i = 0; i < sizeof bits / 8; i++) count += __builtin_popcountll(bits[i]);
        return count;
    }
    if (!strcmp(name, "has")) return ckvm_check_extension(n[1] ? kvm : vm, (long)n[0]);
    if (!strcmp(name, "enable")) return ckvm_enable_cap(vm, (uint32_t)n[0], n[1]);
    if (!strcmp(name, "vcpu")) return ckvm_create_vcpu(vm, n[0]);
    if (!strcmp(name, "file")) return file = ckvm_create_guest_memfd(vm, n[0], n[1]);
    if (!strcmp(name, "page")) return (int)page;
    if (!strcmp(name, "last")) return last_page((int)n[0]);
    fprintf(stderr, "kvm-probe: no call is named %s\n", name);
    exit(102);
}

int main(int count, char **words) {
    int holds = count > 1 && !strcmp(words[1], "hold"), differing = 0;
    kvm = ckvm_open("/dev/kvm");
    vm = kvm < 0 ? kvm : ckvm_create_vm(kvm, count > 1 && !holds ? strtoul(words[1], 0, 0) : 0);
    if (vm < 0) return fprintf(stderr, "kvm-probe: no VM: %s\n", strerror(-vm)), 101;
    if (holds && ckvm_create_vcpu(vm, 0) >= 0) for (;;) pause();
    page = (uint64_t)sysconf(_SC_PAGESIZE);
    for (char line[512]; fgets(line, sizeof line, stdin);) {
        char *title = strchr(line, '#'), *next, got[32];
        if (title) *title++ = 0;
        char *wanted = strtok(line, " \n"), *name = wanted ? strtok(0, " \n") : 0;
        if (!name) continue;
        memset(n, 0, sizeof n);
        for (int i = 0; i < 8 && (next = strtok(0, " \n")); i++) n[i] = strtoull(next, 0, 0);
        int result = call(name), same = *wanted == '-';
        if (result < 0) snprintf(got, sizeof got, "%s", strerrorname_np(-result));
        else snprintf(got, sizeof got, "%d", result);
        for (next = strtok(wanted, "|"); next; next = strtok(0, "|")) same |= !strcmp(next, got);
        differing += !same;
        if (title || !same) printf("%-9s%s%s", got, same ? "     " : "OTHER", title ? title : "\n");
    }
    return differing > 100 ? 100 : differing;
}
