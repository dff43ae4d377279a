import CLinux
import Foundation
import Testing

/// A memfd of `size` bytes.
func memfd(_ size: Int, sealed: Bool = true, name: String = "test") throws -> Int32 {
    let descriptor = clinux_memfd(name, 0)
    try #require(descriptor >= 0)
    try #require(ftruncate(descriptor, size) == 0)
    if sealed { try #require(clinux_seal_size(descriptor) == 0) }
    return descriptor
}
