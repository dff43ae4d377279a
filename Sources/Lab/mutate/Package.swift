// swift-tools-version: 6.0
import PackageDescription

// A package of its own, so that users of Memslots do not fetch swift-syntax. `.ci/mutate` builds it.
let package = Package(
    name: "generate-mutations",
    dependencies: [.package(url: "https://github.com/swiftlang/swift-syntax", exact: "603.0.1")],
    targets: [
        .executableTarget(
            name: "generate-mutations",
            dependencies: [
                .product(name: "SwiftSyntax", package: "swift-syntax"),
                .product(name: "SwiftOperators", package: "swift-syntax"),
                .product(name: "SwiftParser", package: "swift-syntax"),
            ])
    ], swiftLanguageModes: [.v6])
