import CYardsticks

/// A VM that nothing but C touches.
final class RawVM {
    let descriptor: Int32

    init() throws(BenchmarkError) {
        descriptor = ys_vm_make()
        guard descriptor >= 0 else {
            throw .unavailable("/dev/kvm does not open here (errno \(-descriptor))")
        }
    }

    deinit { ys_close(descriptor) }
}
