import MemslotSimulation
import Testing

@Suite("a seed replays")
struct ReplayTests {
}
