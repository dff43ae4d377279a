import Testing

@Suite(
    "the VMM's stack under run",
    .enabled(if: Workbench.canRunVMM, "needs /dev/kvm, a C compiler and the preload library"))
struct StackTests {
    /// The bytes that each call used, the most of all calls of a name.
    private func depths(_ run: Finished) -> [String: Int] {
        let lines = run.output.split(separator: "\n").map { $0.split(separator: " ") }
        return Dictionary(
            lines.map { (String($0[0]), $0.last.flatMap { Int($0) } ?? .max) },
            uniquingKeysWith: max)
    }

    @Test(
        "no call goes more than 512 bytes deeper than without us, not even its first",
        arguments: [[], ["--atomic"]])
    func depth(options: [String]) throws {
        let bare = depths(Finished(vmm: ["stack"]))
        let run = Finished(vmm: ["stack"], under: options)
        #expect(run.status == 0, "\(run.errors)")
        #expect(bare.count == 23)
        for (name, depth) in depths(run) {
            let without = try #require(bare[name])
            #expect(depth <= without + 512, "\(name)")
        }
    }
}
