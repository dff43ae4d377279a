#if arch(x86_64)
    import CYardsticks
    import MemslotKVM
    import Memslots

    /// A guest under a table whose backend does nothing.
    final class EmptyBlackout {
        private let guest: LoopingGuest
        private let table: MemslotTable
        private let arrays: [[Memslot]]

        init() throws(BenchmarkError) {
            guest = try LoopingGuest()
            do throws(Errno) { try guest.backend.carryOut(.create(guest.codeSlot)) } catch {
                throw .broken("the guest's slot: \(error)")
            }
            table = try TransactionBenchmarks.table(NoCalls(), vcpus: guest.gate)
            var changed = guest.codeSlot
            changed.flags = .logDirtyPages
            arrays = [[guest.codeSlot], [changed]]
            _ = try table.measured(arrays[0])
        }

        /// The nanoseconds for which the vCPU was held out.
        func median(of count: Int) throws(BenchmarkError) -> Double {
            try guest.median(of: count) { () throws(BenchmarkError) in
                // What ends logging would have its log read: that is no empty blackout.
                let receipt = try table.measured(arrays[1], quiesce: .always)
                try guest.waitUntilInside()
                _ = try table.measured(arrays[0], quiesce: .always)
                return Double(receipt.nanoseconds.blackout)
            }
        }
    }

    extension LoopingGuest {
        /// Lets the guest run, and measures it `count` times.
        func median(
            of count: Int, _ round: () throws(BenchmarkError) -> Double
        ) throws(BenchmarkError) -> Double {
            try start()
            defer { stop() }
            var samples: [Double] = []
            for _ in 0..<count {
                try waitUntilInside()
                samples.append(try round())
            }
            return Spread(samples).median
        }
    }
#endif
