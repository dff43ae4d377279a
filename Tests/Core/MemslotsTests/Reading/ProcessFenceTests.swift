import CFenceLitmus
import Testing

@testable import Memslots

/// What registered readers stand on. Without the system call in `creading_fence` this fails: a
/// processor then lets a reader look before others see that it has come.
@Suite("the fence of the process", .serialized)
struct ProcessFenceTests {
    @Test(
        "a reader on its way in is seen, or finds what was published",
        .enabled(if: ProcessFence.isAvailable, "membarrier(2) is not to be had"))
    func order() {
        #expect(ProcessFence.execute())
        #expect(cfence_litmus(60_000, 1) == 0)
    }
}
