import CKVM
import Memslots

/// What a function of the shim returned: a value, or minus an errno.
struct CallResult {
    let rawValue: Int32

    init(_ rawValue: Int32) { self.rawValue = rawValue }

    /// The errno; `nil` where the call succeeded.
    var errno: Errno? { rawValue < 0 ? Errno(rawValue: -rawValue) : nil }

    /// The value.
    func value() throws(Errno) -> Int32 {
        if let errno { throw errno }
        return rawValue
    }

    /// The value, with the failure told as that of `call`.
    func value(of call: String) throws(KVMError) -> Int32 {
        if let errno { throw .callFailed(call: call, errno: errno) }
        return rawValue
    }
}
