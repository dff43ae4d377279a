// What Swift's runtime does to a process when it is loaded, undone before the VMM's own code runs.
//
// It installs handlers for crashes, with a stack of their own. A VMM that aborts would print pages of
// backtrace, and its core would be of the handler. A runtime inside this library is asked not to
// (SWIFT_BACKTRACE), by a constructor that comes before the runtime's. A shared one, of a development
// build, has done it already; unless the VMM itself uses it, its handlers are removed.
#include "preload.h"
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

extern char **environ;
static const char name[] = "SWIFT_BACKTRACE=";
static char **environment_before;
static char **environment_quiet;

__attribute__((constructor(101))) static void silence_runtime(void) {
    static char quiet[] = "SWIFT_BACKTRACE=enable=no";
    size_t count = 0, kept = 0;
    while (environ && environ[count]) count++;
    environment_quiet = malloc((count + 2) * sizeof *environment_quiet);
    if (!environment_quiet) return;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], name, sizeof name - 1) != 0)
            environment_quiet[kept++] = environ[i];
    environment_quiet[kept++] = quiet;
    environment_quiet[kept] = 0;
    environment_before = environ;
    environ = environment_quiet;
}

// Whether the program names the shared runtime among the libraries that it needs.
static int needs_runtime(struct dl_phdr_info *object, size_t size, void *result) {
    (void)size;
    const ElfW(Dyn) *entry = 0;
    for (int i = 0; i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_DYNAMIC)
            entry = (const ElfW(Dyn) *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
    const char *strings = 0;
    for (const ElfW(Dyn) *each = entry; each && each->d_tag != DT_NULL; each++)
        if (each->d_tag == DT_STRTAB) strings = (const char *)each->d_un.d_ptr;
    for (const ElfW(Dyn) *each = entry; strings && each->d_tag != DT_NULL; each++)
        if (each->d_tag == DT_NEEDED && strstr(strings + each->d_un.d_val, "libswiftCore."))
            *(int *)result = 1;
    // The program comes first.
    return 1;
}

static void remove_handlers(void) {
    static const int signals[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV};
    int removed = 0, is_needed = 0;
    dl_iterate_phdr(needs_runtime, &is_needed);
    if (is_needed) return;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action;
        Dl_info info;
        if (sigaction(signals[i], 0, &action) < 0 || !(action.sa_flags & SA_SIGINFO)) continue;
        if (!dladdr((void *)action.sa_sigaction, &info) || !info.dli_fname
            || !strstr(info.dli_fname, "libswiftCore."))
            continue;
        // It replaces only the default.
        signal(signals[i], SIG_DFL);
        removed = 1;
    }
    stack_t stack;
    if (!removed || sigaltstack(0, &stack) < 0 || (stack.ss_flags & SS_DISABLE)) return;
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, 0);
}

// The loader has run every library's constructors; the program's own come next.
__attribute__((used)) static void before_program(void) {
    if (environment_before && environ == environment_quiet) {
        environ = environment_before;
        free(environment_quiet);
    } else if (environment_before) {
        // Another constructor changed the environment, in a copy.
        unsetenv("SWIFT_BACKTRACE");
        for (char **variable = environment_before; *variable; variable++)
            if (strncmp(*variable, name, sizeof name - 1) == 0)
                setenv("SWIFT_BACKTRACE", *variable + sizeof name - 1, 1);
    }
    remove_handlers();
}

#if defined(__x86_64__)
// __libc_start_main, which the program's first instructions call. The real one is jumped to, so that
// the program's stack begins where it would without us.
__asm__(
    ".pushsection .text\n"
    ".globl __libc_start_main\n"
    ".type __libc_start_main, @function\n"
    "__libc_start_main:\n"
    "    .cfi_startproc\n"
    "    endbr64\n"
    "    push %rdi\n"
    "    push %rsi\n"
    "    push %rdx\n"
    "    push %rcx\n"
    "    push %r8\n"
    "    push %r9\n"
    "    sub $8, %rsp\n"
    "    .cfi_def_cfa_offset 64\n"
    "    call before_program\n"
    "    add $8, %rsp\n"
    "    pop %r9\n"
    "    pop %r8\n"
    "    pop %rcx\n"
    "    pop %rdx\n"
    "    pop %rsi\n"
    "    pop %rdi\n"
    "    .cfi_def_cfa_offset 8\n"
    "    jmp *preload_real_start(%rip)\n"
    "    .cfi_endproc\n"
    ".size __libc_start_main, . - __libc_start_main\n"
    ".popsection\n");
#elif defined(__aarch64__)
__asm__(
    ".pushsection .text\n"
    ".globl __libc_start_main\n"
    ".type __libc_start_main, %function\n"
    "__libc_start_main:\n"
    "    .cfi_startproc\n"
    "    hint #34\n" // bti c
    "    stp x0, x1, [sp, #-64]!\n"
    "    stp x2, x3, [sp, #16]\n"
    "    stp x4, x5, [sp, #32]\n"
    "    stp x6, x30, [sp, #48]\n"
    "    .cfi_def_cfa_offset 64\n"
    "    .cfi_offset x30, -8\n"
    "    bl before_program\n"
    "    ldp x2, x3, [sp, #16]\n"
    "    ldp x4, x5, [sp, #32]\n"
    "    ldp x6, x30, [sp, #48]\n"
    "    ldp x0, x1, [sp], #64\n"
    "    .cfi_restore x30\n"
    "    .cfi_def_cfa_offset 0\n"
    "    adrp x16, preload_real_start\n"
    "    ldr x16, [x16, #:lo12:preload_real_start]\n"
    "    br x16\n"
    "    .cfi_endproc\n"
    ".size __libc_start_main, . - __libc_start_main\n"
    ".popsection\n");
#else
#error "write __libc_start_main for this machine"
#endif

__attribute__((visibility("hidden"))) void *preload_real_start;

__attribute__((constructor(102))) static void find_start(void) {
    preload_real_start = dlsym(RTLD_NEXT, "__libc_start_main");
}
