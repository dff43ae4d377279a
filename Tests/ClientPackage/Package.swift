// swift-tools-version: 6.2
import PackageDescription

// A package of its own: it sees of memslots what a stranger sees, the library products. `name:` is
// needed because a path's identity is otherwise the name of the checkout's folder.
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
    name: "client",
    dependencies: [.package(name: "memslots", path: "../..")],
    targets: [
        .target(
            name: "ClientVMM",
            dependencies: [
                .product(name: "Memslots", package: "memslots"),
                .product(name: "MemslotKVM", package: "memslots"),
                .product(name: "MemslotSimulator", package: "memslots"),
                .product(name: "MemslotVhostUser", package: "memslots"),
                .product(name: "MemslotProtocol", package: "memslots"),
                .product(name: "MemslotService", package: "memslots"),
            ], swiftSettings: strict),
        .testTarget(
            name: "ClientVMMTests", dependencies: ["ClientVMM"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
