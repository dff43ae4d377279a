// What a process can see of itself.
#include "vmm.h"
#include <dirent.h>
#include <malloc.h>

extern char **environ;

static void print_signals(void) {
    for (int signal = 1; signal < 65; signal++) {
        struct {
            void *handler;
            unsigned long flags;
            void *restorer;
            uint64_t mask;
        } action = {0};
        // The system call, because glibc hides its own two.
        syscall(SYS_rt_sigaction, signal, 0, &action, 8);
        if (action.handler)
            printf("signal %d %s\n", signal, action.handler == SIG_IGN ? "ignored" : "handled");
    }
    stack_t stack;
    sigaltstack(0, &stack);
    uint64_t mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, &mask, sizeof mask);
    printf("stack %d %zu mask %lx\n", stack.ss_flags, stack.ss_size, (unsigned long)mask);
}

static int count_in(const char *path) {
    DIR *folder = opendir(path);
    int count = 0;
    while (folder && readdir(folder)) count++;
    closedir(folder);
    return count - 2;
}

static void print_descriptors(void) {
    for (int descriptor = 0; descriptor < 4096; descriptor++) {
        char path[64], name[256] = {0};
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
        if (descriptor < 3 || readlink(path, name, sizeof name - 1) < 0) continue;
        printf("descriptor %s\n", name);
    }
}

static void print_lines(const char *path, const char *begin) {
    char line[4096];
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, begin, strlen(begin)) == 0) printf("%s", line);
    if (file) fclose(file);
}

static void print_heaps(void) {
    char *text = 0;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    malloc_info(0, memory);
    fclose(memory);
    int count = 0;
    for (char *at = text; (at = strstr(at, "<heap nr")); at++) count++;
    free(text);
    printf("heaps %d\n", count);
}

// The mappings of files and of named memory, and what can be written and executed.
static void print_maps(void) {
    char line[4096], name[4096], access[8];
    FILE *file = fopen("/proc/self/maps", "r");
    while (file && fgets(line, sizeof line, file)) {
        *name = 0;
        if (sscanf(line, "%*s %7s %*s %*s %*s %4095[^\n]", access, name) < 1) continue;
        if (name[0] == '/' || (access[1] == 'w' && access[2] == 'x'))
            printf("map %s %s\n", access, name);
    }
    if (file) fclose(file);
}

static void print_all(void) {
    print_signals();
    print_maps();
    print_descriptors();
    printf("threads %d\n", count_in("/proc/self/task"));
    print_heaps();
    static const char *const lines[] = {
        "Umask", "NoNewPrivs", "Seccomp:", "CapEff", "THP_enabled", "SigIgn", "SigBlk"};
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++)
        print_lines("/proc/self/status", lines[i]);
    print_lines("/proc/self/limits", "Max");
    fflush(0);
}

static void *nothing(void *argument) {
    return argument;
}

// Prints it at the start, with a VM whose slots were changed, and a child's environment.
int test_self(int argc, char **argv) {
    (void)argc;
    (void)argv;
    print_all();
    for (char **variable = environ; *variable; variable++)
        printf("variable %s\n", *variable);
    printf("with a VM\n");
    // As every VMM. The C library has a handler of its own from now on.
    pthread_t thread;
    pthread_create(&thread, 0, nothing, 0);
    pthread_join(thread, 0);
    struct vm vm;
    make_vm(&vm, 1, 0);
    vm.vcpus[0].run->immediate_exit = 1;
    ioctl(vm.vcpus[0].descriptor, KVM_RUN, 0);
    split(&vm, 0);
    ioctl(vm.vcpus[0].descriptor, KVM_RUN, 0);
    print_all();
    printf("a child\n");
    fflush(0);
    if (system("env") != 0) return 1;
    close_vm(&vm);
    return 0;
}

static void end(int signal) {
    _exit(40 + signal);
}

// Creates a file and waits for a signal, whose number is in the exit status.
int test_signalled(int argc, char **argv) {
    signal(SIGTERM, end);
    signal(SIGHUP, end);
    must(argc > 0 && close(open(argv[0], O_CREAT | O_WRONLY, 0600)) == 0, "the file");
    for (;;) pause();
}

int test_abort(int argc, char **argv) {
    (void)argc;
    (void)argv;
    fprintf(stderr, "vmm: aborts\n");
    abort();
}
