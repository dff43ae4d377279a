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

/// A module of a ring. `Sources/README.md` lists the rings; `.ci/arrows` checks their imports.
func module(
    _ ring: String, _ name: String, _ dependencies: [Target.Dependency] = [],
    exclude: [String] = [], resources: [Resource] = []
) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/\(ring)/\(name)",
        exclude: exclude, resources: resources, cSettings: [.define("_GNU_SOURCE")],
        swiftSettings: strict)
}

/// A program of a ring.
func program(
    _ ring: String, _ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []
) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "Sources/\(ring)/\(name)",
        resources: resources, swiftSettings: strict)
}

/// The tests of one module, which may import inner rings and what supports tests.
func tests(
    _ ring: String, _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []
) -> Target {
    .testTarget(
        name: name, dependencies: ["TestSupport"] + dependencies, path: "Tests/\(ring)/\(name)",
        exclude: exclude, swiftSettings: strict)
}

let argumentParser: Target.Dependency = .product(
    name: "ArgumentParser", package: "swift-argument-parser")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let histogram: Target.Dependency = .product(name: "Histogram", package: "hdrhistogram-swift")

/// The transaction engine, and the system calls that Swift's Glibc module lacks.
let core: [Target] = [
    // Model, validation, diff, plan, transaction, reading. No I/O, no JSON.
    module("Core", "Memslots", ["CReading"]),
    // What reading needs from C: membarrier(2), and a search by wide registers. USDT probes.
    module("Core", "CReading"),
    module("Core", "CLinux"),
]

/// What applies a plan.
let backends: [Target] = [
    // The kernel's twin, with fault injection.
    module("Backends", "MemslotSimulator", ["Memslots"]),
    // Slots of a real VM: limits, calls, adoption, dirty log, vCPU kick.
    module("Backends", "MemslotKVM", ["Memslots", "CKVM"]),
    // The system calls of KVM, one C function for each request.
    module("Backends", "CKVM"),
]

/// Who must be kept in step besides vCPUs and readers.
let observers: [Target] = [
    // vhost-user back ends: front end, regions, rings, dirty log.
    module("Observers", "MemslotVhostUser", ["Memslots", "CLinux"])
]

/// The wire and the daemon.
let service: [Target] = [
    // The wire's messages and their coding.
    module("Service", "MemslotProtocol", ["Memslots"]),
    // VMs by name, memory objects, the methods of the wire protocol, the socket server.
    module(
        "Service", "MemslotService",
        [
            "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotVhostUser", "MemslotProtocol",
            "CLinux", histogram,
        ]),
    program(
        "Service", "memslotd",
        [
            "Memslots", "MemslotProtocol", "MemslotService", "CLinux", argumentParser, logging,
        ]),
]

/// `memslotctl run`: a library that is loaded into somebody else's VMM.
let interposer: [Target] = [
    // Replies to a VMM's slot calls, and commits them as transactions.
    module(
        "Interposer", "MemslotPreload",
        ["Memslots", "MemslotSimulator", "MemslotKVM", "CPreload", "CRunRecord"]),
    // The functions that stand in front of ioctl and its like.
    // Its functions are found at the start: finding one at its first call takes the caller's stack.
    .target(
        name: "CPreload", dependencies: ["CRunRecord", "CKVM", "CReading"],
        path: "Sources/Interposer/CPreload",
        cSettings: [.define("_GNU_SOURCE")],
        linkerSettings: [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "now"])]),
    // The layout of the memory that the VMM and memslotctl share.
    module("Interposer", "CRunRecord"),
]

/// What a user runs.
let tools: [Target] = [
    program(
        "Tools", "memslotctl",
        [
            "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "MemslotService",
            "MemslotScenario", "MemslotTrace", "MemslotPicture", "CLinux", "CRunRecord",
            argumentParser,
        ]),
    // Scenarios, raw operations and array files, and how they are replayed.
    module(
        "Tools", "MemslotScenario",
        ["Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "MemslotService"]),
    // A recorded VMM's system calls, read and audited; the page of a report is embedded.
    module(
        "Tools", "MemslotTrace",
        ["Memslots", "MemslotProtocol", "MemslotScenario", "MemslotPicture", "CRunRecord"],
        resources: ["html", "css", "js"].map { .embedInCode("Report/Page/page.\($0)") }),
    // Memory maps and changes as text and SVG.
    module(
        "Tools", "MemslotPicture", ["Memslots"], resources: [.embedInCode("SVG/map.css")]),
]

/// The library for programs that are not written in Swift.
let bindings: [Target] = [
    // What memslots.h declares.
    module(
        "Bindings", "LibMemslots",
        ["Memslots", "MemslotSimulator", "MemslotKVM", "MemslotVhostUser", "CMemslots"],
        exclude: ["exports.map", "memslots.pc.in"]),
    // memslots.h, the C interface.
    module("Bindings", "CMemslots"),
]

/// The proof.
let lab: [Target] = [
    program(
        "Lab", "memslot-lab",
        [
            "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "MemslotService",
            "MemslotScenario", "MemslotPicture", "MemslotLab", "MemslotTestKit", argumentParser,
        ]),
    // Conformance, proofs by exhaustion, simulation by seed, torture, load.
    module(
        "Lab", "MemslotLab",
        [
            "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotVhostUser", "CKVM", "CLinux",
            "MemslotProtocol", "MemslotService", "MemslotScenario", "MemslotPicture",
            "MemslotTestKit", histogram, argumentParser,
        ]),
    // Guest programs with memory for them, random numbers that a seed repeats, and whole files.
    module("Lab", "MemslotTestKit", ["Memslots", "MemslotKVM", "CKVM"]),
    // Targets for libFuzzer (.ci/fuzz), which also run from files.
    program(
        "Lab", "MemslotFuzz",
        [
            "Memslots", "MemslotSimulator", "MemslotVhostUser", "MemslotProtocol", "MemslotService",
            "MemslotScenario", "MemslotTrace", "MemslotTestKit",
        ]),
]

/// The project measured beside yardsticks, in the same run.
let benchmarks: [Target] = [
    // It runs memslotd and memslotctl, which are therefore built with it.
    program(
        "Benchmarks", "memslot-bench",
        [
            "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "MemslotService",
            "MemslotScenario", "MemslotPicture", "MemslotLab", "MemslotTestKit", "CKVM",
            "CYardsticks", "memslotd", "memslotctl", argumentParser,
        ],
        resources: [
            .embedInCode("Output/plot.css"), .embedInCode("Lookup/vm-memory.rs"),
            .embedInCode("Lookup/vm-memory.toml"),
        ]),
    // C functions of our own that do the same work.
    .target(
        name: "CYardsticks", path: "Sources/Benchmarks/CYardsticks",
        cSettings: [.define("_GNU_SOURCE")]),
]

let examples: [Target] = [
    // A small VMM, which Docs/VMM-Authors.md explains. It sees of the package what a stranger sees.
    .executableTarget(
        name: "ExampleVMM",
        dependencies: [
            "Memslots", "MemslotKVM", "MemslotSimulator", "MemslotProtocol", "MemslotService",
        ],
        path: "Sources/Examples/swift/ExampleVMM", packageAccess: false, swiftSettings: strict)
]

let testTargets: [Target] = [
    // Finds the checkout and the built programs, and runs them.
    .target(name: "TestSupport", path: "Tests/Support/TestSupport", swiftSettings: strict),
    // Clients of the wire, the built memslotd as a process, the schema of the wire's messages.
    .target(
        name: "WireTestSupport",
        dependencies: ["TestSupport", "Memslots", "MemslotProtocol", "MemslotService", "CLinux"],
        path: "Tests/Support/WireTestSupport", swiftSettings: strict),
    // Two threads' accesses in the order that readers depend on.
    .target(name: "CFenceLitmus", dependencies: ["CReading"], path: "Tests/Core/CFenceLitmus"),
    tests("Core", "MemslotsTests", ["MemslotTestKit", "Memslots", "CReading", "CFenceLitmus"]),
    tests("Backends", "MemslotSimulatorTests", ["Memslots", "MemslotSimulator", "MemslotTestKit"]),
    tests("Backends", "MemslotKVMTests", ["Memslots", "MemslotKVM", "MemslotTestKit", "CKVM"]),
    tests(
        "Observers", "MemslotVhostUserTests",
        ["MemslotVhostUser", "Memslots", "CLinux", "MemslotTestKit"]),
    tests("Service", "MemslotProtocolTests", ["MemslotTestKit", "Memslots", "MemslotProtocol"]),
    tests(
        "Service", "MemslotServiceTests",
        [
            "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "MemslotService",
            "CLinux", "WireTestSupport",
        ]),
    // The built memslotd: signals, systemd, and what it keeps when it is killed.
    tests(
        "Service", "memslotdTests",
        ["MemslotProtocol", "MemslotService", "CLinux", "memslotd", "WireTestSupport"],
        exclude: ["Shim"]),
    tests(
        "Tools", "MemslotScenarioTests",
        [
            "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "MemslotScenario",
            "MemslotService", "WireTestSupport",
        ]),
    tests(
        "Tools", "MemslotTraceTests",
        [
            "MemslotTrace", "MemslotScenario", "MemslotProtocol", "Memslots", "CRunRecord",
            "MemslotPicture", "MemslotTestKit", "WireTestSupport",
        ]),
    tests("Tools", "MemslotPictureTests", ["Memslots", "MemslotPicture"]),
    // The built memslotctl against the built memslotd; a VMM in C, and QEMU where it is installed,
    // under it.
    tests(
        "Tools", "memslotctlTests",
        [
            "MemslotProtocol", "MemslotService", "CLinux", "memslotctl", "memslotd",
            "WireTestSupport",
        ],
        exclude: ["Run/VMM", "Run/Guest"]),
    // The C interface from Swift, and programs in C against the built library.
    tests(
        "Bindings", "LibMemslotsTests", ["LibMemslots", "CMemslots", "MemslotKVM"],
        exclude: ["Programs"]),
    tests(
        "Lab", "MemslotLabTests",
        [
            "Memslots", "MemslotSimulator", "MemslotKVM", "MemslotProtocol", "MemslotService",
            "MemslotScenario", "MemslotLab", "MemslotTestKit", "memslot-lab", argumentParser,
        ]),
    // The built memslot-lab against the built memslotd.
    tests(
        "Lab", "memslot-labTests",
        [
            "MemslotKVM", "MemslotProtocol", "memslot-lab", "memslotctl", "memslotd",
            "WireTestSupport",
        ]),
    tests("Lab", "MemslotFuzzTests", ["MemslotFuzz", "MemslotTestKit"]),
    tests(
        "Benchmarks", "memslot-benchTests",
        ["memslot-bench", "CYardsticks", "Memslots", "MemslotPicture"]),
    tests(
        "Examples", "ExampleVMMTests",
        [
            "ExampleVMM", "Memslots", "MemslotKVM", "MemslotSimulator", "MemslotProtocol",
            "MemslotService", "MemslotVhostUser",
        ]),
]

let package = Package(
    name: "memslots",
    products: [
        .library(name: "Memslots", targets: ["Memslots"]),
        .library(name: "MemslotKVM", targets: ["MemslotKVM"]),
        .library(name: "MemslotSimulator", targets: ["MemslotSimulator"]),
        .library(name: "MemslotVhostUser", targets: ["MemslotVhostUser"]),
        .library(name: "MemslotProtocol", targets: ["MemslotProtocol"]),
        .library(name: "MemslotService", targets: ["MemslotService"]),
        // What `memslotctl run` puts between a VMM and /dev/kvm; searched beside memslotctl.
        .library(name: "memslots-preload", type: .dynamic, targets: ["MemslotPreload"]),
        // The library for programs that are not written in Swift; installed as libmemslots.so.
        .library(name: "memslots-c", type: .dynamic, targets: ["LibMemslots"]),
        .executable(name: "memslotctl", targets: ["memslotctl"]),
        .executable(name: "memslotd", targets: ["memslotd"]),
        .executable(name: "memslot-lab", targets: ["memslot-lab"]),
        .executable(name: "memslot-bench", targets: ["memslot-bench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", exact: "0.2.0"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    ],
    targets: core + backends + observers + service + interposer + tools + bindings + lab
        + benchmarks + examples + testTargets,
    swiftLanguageModes: [.v6]
)
