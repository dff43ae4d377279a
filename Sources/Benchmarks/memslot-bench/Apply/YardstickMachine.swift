#if arch(x86_64)
    import CYardsticks

    /// The vCPU that C holds out.
    final class YardstickMachine {
        private let machine: OpaquePointer
        /// The VM's descriptor.
        var vm: Int32 { ys_machine_vm(machine) }

        init() throws(BenchmarkError) {
            var status: Int32 = 0
            guard let machine = ys_machine_make(&status) else {
                throw .unavailable("no vCPU: errno \(-status)")
            }
            self.machine = machine
        }

        deinit { ys_machine_end(machine) }

        /// Holds the vCPU out while the calls are made; in nanoseconds.
        func blackOut(
            _ calls: [ys_region], spins: Bool
        ) throws(BenchmarkError) -> (total: Double, calls: Double) {
            let result = ys_black_out(machine, calls, calls.count, spins ? 1 : 0)
            guard result.status == 0 else {
                throw .broken("a slot call under C's blackout failed: errno \(-result.status)")
            }
            return (Double(result.total), Double(result.calls))
        }

        /// Lets the guest run, and measures it `count` times.
        func median(
            of count: Int, _ round: () throws(BenchmarkError) -> Double
        ) throws(BenchmarkError) -> Double {
            ys_machine_go_on(machine)
            defer { ys_machine_rest(machine) }
            var samples: [Double] = []
            for _ in 0..<count { samples.append(try round()) }
            return Spread(samples).median
        }
    }
#endif
