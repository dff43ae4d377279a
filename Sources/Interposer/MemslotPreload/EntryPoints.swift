import CPreload
import Memslots

// The functions that the C part calls. It holds its lock around each call, with signals blocked, and
// passes the VMM's descriptors and addresses unchanged.

// Unsafe: accessed only with the C part's lock held.
nonisolated(unsafe) private var machines: [UInt32: PreloadedVM] = [:]

/// Adopts a new VM. Returns 0 if its slot calls can be deferred.
@_cdecl("memslots_preload_opened")
func opened(_ number: UInt32, _ descriptor: Int32) -> Int32 {
    guard let machine = PreloadedVM(number: number, descriptor: descriptor) else {
        "the limits of /dev/kvm can't be probed; this VM's calls pass to the kernel unchanged"
            .withCString { cpreload_print($0) }
        return -1
    }
    machines[number] = machine
    return 0
}

@_cdecl("memslots_preload_closed")
func closed(_ number: UInt32) { machines[number] = nil }

/// Validates a slot call by the kernel's rules, and defers it.
@_cdecl("memslots_preload_request")
func request(_ number: UInt32, _ region: UnsafePointer<crun_region>) -> Int32 {
    machines[number]?.request(region.pointee) ?? -Errno.ioError.rawValue
}

/// Applies a slot call at once. All deferred calls are applied already.
@_cdecl("memslots_preload_apply_now")
func applyNow(_ number: UInt32, _ region: UnsafePointer<crun_region>) -> Int32 {
    machines[number]?.applyNow(region.pointee) ?? -Errno.ioError.rawValue
}

/// Applies the deferred calls as one transaction.
@_cdecl("memslots_preload_commit")
func commit(_ number: UInt32) { machines[number]?.commit() }

/// Follows the deferred calls, which the C part has made on the kernel one by one.
@_cdecl("memslots_preload_follow")
func follow(_ number: UInt32) { machines[number]?.follow() }

/// Executes `KVM_GET_DIRTY_LOG` or `KVM_CLEAR_DIRTY_LOG`. No call is deferred.
@_cdecl("memslots_preload_dirty_log")
func dirtyLog(
    _ number: UInt32, _ descriptor: Int32, _ request: UInt64,
    _ argument: UnsafeMutableRawPointer?
) -> Int32 {
    let result = cpreload_call(descriptor, UInt(request), argument)
    guard result >= 0, let machine = machines[number], let argument else { return result }
    machine.backend.kept.update(after: request, argument, clearsByReading: machine.clearsByReading)
    return result
}

@_cdecl("memslots_preload_enabled")
func enabled(_ number: UInt32, _ capability: UInt32, _ argument: UInt64) {
    machines[number]?.enabled(capability, argument)
}

@_cdecl("memslots_preload_file")
func openedFile(_ number: UInt32, _ descriptor: Int32, _ size: UInt64) {
    _ = machines[number]?.open(descriptor, size: ByteCount(rawValue: size))
}

@_cdecl("memslots_preload_file_closed")
func closedFile(_ number: UInt32, _ descriptor: Int32) { machines[number]?.close(descriptor) }

/// KVM may reserve a guest range for its own slots.
@_cdecl("memslots_preload_reserved")
func reserved(_ number: UInt32, _ start: UInt64, _ size: UInt64) {
    machines[number]?.possiblyReserved.append(start, size)
}

/// Whether the deferred calls leave all installed memory mapped.
@_cdecl("memslots_preload_covers")
func covers(_ number: UInt32) -> Int32 { machines[number]?.coversInstalled == true ? 1 : 0 }

/// Whether a slot, installed or requested, is backed by this range of user memory.
@_cdecl("memslots_preload_backs")
func backs(_ number: UInt32, _ address: UInt64, _ size: UInt64) -> Int32 {
    machines[number]?.isBacked(by: address, size) == true ? 1 : 0
}

/// Prints why the VMM cannot continue, and ends the process.
func stop(_ text: String) -> Never { cpreload_stop(Array(text.utf8CString)) }
