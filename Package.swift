// swift-tools-version: 6.2
import PackageDescription

/// Settings of every Swift target: imports stay inside the module that names them, and a
/// warning of our own code fails the build.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let argumentParser: Target.Dependency = .product(
    name: "ArgumentParser", package: "swift-argument-parser")

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "memslots",
    products: [
        .library(name: "Memslots", targets: ["Memslots"]),
        .library(name: "MemslotKVM", targets: ["MemslotKVM"]),
        .library(name: "MemslotSimulator", targets: ["MemslotSimulator"]),
        .library(name: "MemslotService", targets: ["MemslotService"]),
        // What `memslotctl run` puts between a VMM and /dev/kvm; looked for beside memslotctl.
        .library(name: "memslots-preload", type: .dynamic, targets: ["MemslotPreload"]),
        // libmemslots.so: the library for programs that are not written in Swift.
        .library(name: "memslots", type: .dynamic, targets: ["LibMemslots"]),
        .executable(name: "memslotctl", targets: ["memslotctl"]),
        .executable(name: "memslotd", targets: ["memslotd"]),
        .executable(name: "memslot-bench", targets: ["memslot-bench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        // The core: model, validation, diff, plan, transaction, reading. No I/O, no JSON.
        .target(
            name: "Memslots", dependencies: ["CReading"], path: "Sources/Core/Memslots",
            swiftSettings: strict),
        // Of reading, what Swift can't say: membarrier(2), and a search by wide registers.
        .target(name: "CReading", path: "Sources/Core/CReading"),
        // Random numbers that a seed repeats, for what is drawn and must be drawn again.
        .target(
            name: "MemslotRandom", path: "Sources/Lab/MemslotTestKit/Random", swiftSettings: strict),
        // The kernel's twin, and fault injection.
        .target(
            name: "MemslotSimulator", dependencies: ["Memslots"],
            path: "Sources/Backends/MemslotSimulator", swiftSettings: strict),
        // The system calls of KVM as C functions, one a request.
        .target(name: "CKVM", path: "Sources/Backends/CKVM"),
        // Slots of a real VM: limits, calls, take-over, dirty log, vCPU kick.
        .target(
            name: "MemslotKVM", dependencies: ["Memslots", "CKVM"],
            path: "Sources/Backends/MemslotKVM", swiftSettings: strict),
        // memslots.h, the C interface.
        .target(name: "CMemslots", path: "Sources/Bindings/CMemslots"),
        // What memslots.h declares.
        .target(
            name: "LibMemslots",
            dependencies: ["Memslots", "MemslotSimulator", "MemslotKVM", "CMemslots"],
            path: "Sources/Bindings/LibMemslots", exclude: ["exports.map", "memslots.pc.in"],
            swiftSettings: strict),
        // Guest programs, and memory for them, for tests and torture.
        .target(
            name: "MemslotGuests", dependencies: ["Memslots", "MemslotKVM", "CKVM"],
            path: "Sources/Lab/MemslotTestKit/Guests", swiftSettings: strict),
        // Slots changed under running vCPUs, and what they see of it.
        .target(
            name: "MemslotTorture",
            dependencies: [
                "MemslotRandom",
                "Memslots", "MemslotKVM", "MemslotGuests", "MemslotSimulator", "CKVM",
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            path: "Sources/Lab/MemslotLab/Torture", swiftSettings: strict),
        // The wire's messages, their coding, scenarios.
        .target(
            name: "MemslotProtocol", dependencies: ["Memslots"],
            path: "Sources/Service/MemslotProtocol", swiftSettings: strict),
        // System calls that Swift's Glibc module lacks, as static inline functions.
        .target(name: "CLinux", path: "Sources/Core/CLinux"),
        // VMs by name, memory objects, the methods of the wire protocol.
        .target(
            name: "MemslotService",
            dependencies: [
                "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "CLinux",
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            path: "Sources/Service/MemslotService", swiftSettings: strict),
        // The simulator held against a kernel, call by call.
        .target(
            name: "MemslotConform",
            dependencies: [
                "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "CKVM",
            ],
            path: "Sources/Lab/MemslotLab/Conform", swiftSettings: strict),
        // The real table and service under a scheduler that a seed drives.
        .target(
            name: "MemslotSimulation",
            dependencies: [
                "MemslotRandom", "Memslots", "MemslotSimulator", "MemslotProtocol",
                "MemslotService",
            ],
            path: "Sources/Lab/MemslotLab/Simulation", swiftSettings: strict),
        // What a preloaded VMM leaves for memslotctl: the layout of shared memory.
        .target(name: "CRunRecord", path: "Sources/Interposer/CRunRecord"),
        // Stands in front of ioctl and its like in somebody else's VMM.
        .target(
            name: "CPreload", dependencies: ["CRunRecord"],
            path: "Sources/Interposer/CPreload", cSettings: [.define("_GNU_SOURCE")]),
        // Answers a preloaded VMM's slot calls, and commits them as transactions.
        .target(
            name: "MemslotPreload",
            dependencies: ["Memslots", "MemslotSimulator", "MemslotKVM", "CPreload"],
            path: "Sources/Interposer/MemslotPreload", swiftSettings: strict),
        // A recorded VMM's system calls, read and audited.
        .target(
            name: "MemslotTrace",
            dependencies: ["Memslots", "MemslotProtocol", "MemslotPicture", "CRunRecord"],
            path: "Sources/Tools/MemslotTrace", swiftSettings: strict),
        // Clients by the dozen, and what a daemon makes of them.
        .target(
            name: "MemslotLoad",
            dependencies: [
                "Memslots", "MemslotProtocol", "MemslotService",
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            path: "Sources/Lab/MemslotLab/Load", swiftSettings: strict),
        // Every fault, and every small world, visited.
        .target(
            name: "MemslotProof",
            dependencies: [
                "MemslotRandom",
                "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "MemslotService",
            ],
            path: "Sources/Lab/MemslotLab/Proof", swiftSettings: strict),
        // Memory maps and changes as text and SVG.
        .target(
            name: "MemslotPicture", dependencies: ["Memslots"],
            path: "Sources/Tools/MemslotPicture", swiftSettings: strict),
        .executableTarget(
            name: "memslotctl",
            dependencies: [
                "Memslots", "MemslotSimulator", "MemslotProtocol", "MemslotService",
                "MemslotTrace", "MemslotPicture", "MemslotConform", "MemslotKVM", "MemslotGuests",
                "MemslotTorture", "MemslotLoad", "MemslotSimulation", "MemslotProof",
                "CLinux", "CRunRecord", argumentParser,
            ],
            path: "Sources/Tools/memslotctl", swiftSettings: strict),
        // The service behind a Unix socket.
        .executableTarget(
            name: "memslotd",
            dependencies: [
                "Memslots", "MemslotProtocol", "MemslotService", "CLinux", argumentParser, logging,
            ],
            path: "Sources/Service/memslotd", swiftSettings: strict),
        // What random bytes are fed to, by libFuzzer (.ci/fuzz) or from files.
        .executableTarget(
            name: "MemslotFuzz",
            dependencies: [
                "Memslots", "MemslotSimulator", "MemslotProtocol", "MemslotService",
                "MemslotTrace",
            ],
            path: "Sources/Lab/MemslotFuzz", swiftSettings: strict),
        // What C functions of our own take for the same work.
        .target(name: "CYardsticks", path: "Sources/Benchmarks/CYardsticks"),
        // The project measured beside its yardsticks.
        .target(
            name: "MemslotBench",
            dependencies: [
                "MemslotRandom",
                "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotGuests", "MemslotProtocol",
                "MemslotService", "CYardsticks",
            ],
            path: "Sources/Benchmarks/MemslotBench", swiftSettings: strict),
        // Runs the benchmarks; memslotd and memslotctl are built for it, and run by it.
        .executableTarget(
            name: "memslot-bench",
            dependencies: ["MemslotBench", "memslotd", "memslotctl", argumentParser],
            path: "Sources/Benchmarks/memslot-bench", swiftSettings: strict),
        // Finds what was built, for tests that run it from outside.
        .target(name: "TestSupport", path: "Tests/Support/TestSupport", swiftSettings: strict),
        .testTarget(
            name: "MemslotBenchTests",
            dependencies: ["TestSupport", "MemslotBench", "CYardsticks", "Memslots"],
            path: "Tests/Benchmarks/MemslotBenchTests", swiftSettings: strict),
        // A VMM in small, which Docs/VMM-Authors.md walks through.
        .executableTarget(
            name: "ExampleVMM",
            dependencies: [
                "Memslots", "MemslotKVM", "MemslotSimulator", "MemslotGuests", "MemslotService",
            ],
            path: "Sources/Examples/swift/ExampleVMM", swiftSettings: strict),
        .testTarget(
            name: "ExampleVMMTests",
            dependencies: [
                "TestSupport", "ExampleVMM", "MemslotKVM", "MemslotProtocol", "MemslotService",
            ],
            path: "Tests/Examples/ExampleVMMTests", swiftSettings: strict),
        .testTarget(
            name: "MemslotFuzzTests", dependencies: ["TestSupport", "MemslotFuzz"],
            path: "Tests/Lab/MemslotFuzzTests", swiftSettings: strict),
        .testTarget(
            name: "MemslotKVMTests",
            dependencies: ["TestSupport", "Memslots", "MemslotKVM", "MemslotGuests", "CKVM"],
            path: "Tests/Backends/MemslotKVMTests", swiftSettings: strict),
        // The C interface from Swift, and programs in C and Rust against the built library.
        .testTarget(
            name: "LibMemslotsTests",
            dependencies: ["TestSupport", "LibMemslots", "CMemslots", "MemslotKVM"],
            path: "Tests/Bindings/LibMemslotsTests", exclude: ["Programs"],
            swiftSettings: strict),
        .testTarget(
            name: "MemslotTortureTests",
            dependencies: [
                "TestSupport", "Memslots", "MemslotKVM", "MemslotGuests", "MemslotTorture",
            ],
            path: "Tests/Lab/MemslotTortureTests", swiftSettings: strict),
        .testTarget(
            name: "MemslotsTests",
            dependencies: ["TestSupport", "MemslotRandom", "Memslots", "CReading", "CFenceLitmus"],
            path: "Tests/Core/MemslotsTests", swiftSettings: strict),
        // Two threads' accesses in the order that readers stand on, for its test.
        .target(name: "CFenceLitmus", dependencies: ["CReading"], path: "Tests/Core/CFenceLitmus"),
        .testTarget(
            name: "MemslotSimulatorTests",
            dependencies: ["TestSupport", "Memslots", "MemslotSimulator"],
            path: "Tests/Backends/MemslotSimulatorTests", swiftSettings: strict),
        .testTarget(
            name: "MemslotProtocolTests",
            dependencies: ["TestSupport", "MemslotRandom", "Memslots", "MemslotProtocol"],
            path: "Tests/Service/MemslotProtocolTests", swiftSettings: strict),
        .testTarget(
            name: "MemslotPictureTests",
            dependencies: ["TestSupport", "Memslots", "MemslotPicture"],
            path: "Tests/Tools/MemslotPictureTests", swiftSettings: strict),
        .testTarget(
            name: "MemslotTraceTests", dependencies: ["TestSupport", "MemslotTrace", "Memslots"],
            path: "Tests/Tools/MemslotTraceTests", swiftSettings: strict),
        // A VMM in C, and QEMU where it is installed, under the built memslotctl.
        .testTarget(
            name: "MemslotRunTests",
            dependencies: [
                "TestSupport", "MemslotTrace", "Memslots", "CRunRecord", "CLinux", "memslotctl",
            ],
            path: "Tests/Tools/MemslotRunTests", exclude: ["VMM"], swiftSettings: strict),
        .testTarget(
            name: "MemslotConformTests",
            dependencies: [
                "TestSupport", "Memslots", "MemslotKVM", "MemslotProtocol", "MemslotConform",
            ],
            path: "Tests/Lab/MemslotConformTests", swiftSettings: strict),
        .testTarget(
            name: "MemslotProofTests",
            dependencies: [
                "TestSupport",
                "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "MemslotProof",
            ],
            path: "Tests/Lab/MemslotProofTests", swiftSettings: strict),
        .testTarget(
            name: "MemslotServiceTests",
            dependencies: [
                "TestSupport",
                "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "MemslotService",
                "CLinux", "MemslotTrace", "CRunRecord",
            ],
            path: "Tests/Service/MemslotServiceTests", swiftSettings: strict),
        .testTarget(
            name: "MemslotSimulationTests",
            dependencies: [
                "TestSupport",
                "Memslots", "MemslotSimulator", "MemslotProtocol", "MemslotSimulation",
            ],
            path: "Tests/Lab/MemslotSimulationTests", swiftSettings: strict),
        .testTarget(
            name: "MemslotServerTests",
            dependencies: [
                "TestSupport", "Memslots", "MemslotProtocol", "MemslotService", "CLinux",
            ],
            path: "Tests/Service/MemslotServerTests", swiftSettings: strict),
        // What a daemon keeps when it is killed, and what it does when it can't write.
        .testTarget(
            name: "MemslotStateTests",
            dependencies: [
                "TestSupport",
                "Memslots", "MemslotProtocol", "MemslotService", "CLinux", "memslotctl", "memslotd",
            ],
            path: "Tests/Service/MemslotStateTests", exclude: ["Shim"], swiftSettings: strict),
        // The built memslotctl against the built memslotd.
        .testTarget(
            name: "MemslotCtlTests",
            dependencies: [
                "TestSupport",
                "MemslotProtocol", "MemslotService", "CLinux", "memslotctl", "memslotd",
            ],
            path: "Tests/Tools/MemslotCtlTests", swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
