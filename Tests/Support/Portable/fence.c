// membarrier(2) through CReading: registered, it succeeds, and with it no reader is missed.
#include "cfence_litmus.h"
#include "creading_fence.h"
#include "portable.h"

int main(void) {
    int result = creading_fence_register();
    printf("fence: registration returned %d\n", result);
    REQUIRE(result == 0);
    REQUIRE(creading_fence() == 0);
    REQUIRE(creading_fence_thread() != 0);
    long missed = cfence_litmus(20000, 1);
    printf("fence: %ld of 20000 readers were missed\n", missed);
    REQUIRE(missed == 0);
}
