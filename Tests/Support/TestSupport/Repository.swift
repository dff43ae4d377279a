package import Foundation

/// The checkout that a test file belongs to.
package enum Repository {
    /// The folder that contains `Package.swift`, found upwards from a source file.
    package static func root(above file: String = #filePath) -> URL {
        var folder = URL(filePath: file)
        repeat {
            precondition(folder.path != "/", "no Package.swift above \(file)")
            folder.deleteLastPathComponent()
        } while !FileManager.default.fileExists(
            atPath: folder.appending(path: "Package.swift").path)
        return folder
    }

    /// A file or folder of the checkout, by its path from the root.
    package static func url(_ path: String) -> URL { root().appending(path: path) }

    /// The path of a file or folder of the checkout.
    package static func path(_ path: String) -> String { url(path).path }

    /// A file or folder of `Fixtures/`.
    package static func fixture(_ path: String) -> URL { url("Fixtures").appending(path: path) }
}
