internal import Memslots

extension OwnedDescriptor {
    /// Duplicates `number`, close-on-exec.
    convenience init(duplicating number: Int32) throws(VhostUserError) {
        self.init(
            adopting: try converting(
                { VhostUserError.systemCall("fcntl", $0) }, duplicate(number)))
    }
}

/// Returns the value of a call of CLinux, which is minus errno on failure.
func valueOfCall<Value: BinaryInteger>(
    _ name: String, _ value: Value
) throws(VhostUserError) -> Value {
    try converting({ VhostUserError.systemCall(name, $0) }, valueOfCall(value))
}
