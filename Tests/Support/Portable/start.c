// A program under CPreload as a library: the arguments, the environment and the exit status arrive,
// and the environment is what it was.
#include "portable.h"

#include <string.h>
#include <unistd.h>

extern char **environ;

static int ended;
static void at_exit(void) { ended = 1; }
__attribute__((destructor)) static void check_end(void) { REQUIRE(ended); }

int main(int count, char **words, char **environment) {
    atexit(at_exit);
    REQUIRE(count == 3 && strcmp(words[1], "one") == 0 && strcmp(words[2], "two") == 0 && !words[3]);
    REQUIRE(environment == environ);
    REQUIRE(strcmp(getenv("SWIFT_BACKTRACE"), "as it was") == 0);
    int copy = dup(1);
    REQUIRE(copy > 2 && close(copy) == 0);
    printf("start: the program began as without the library\n");
    return 0;
}
