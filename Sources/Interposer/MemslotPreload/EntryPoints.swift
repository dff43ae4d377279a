import CPreload
import Memslots

// What the C part calls. It holds one lock around each call, with signals blocked, and passes
// descriptors and addresses of the VMM's as they came.

// Unsafe: touched with the C part's lock held only.
nonisolated(unsafe) private var machines: [UInt32: PreloadedVM] = [:]

/// A VM was made: 0 where its calls can be deferred from now on.
@_cdecl("memslots_preload_opened")
func opened(_ number: UInt32, _ descriptor: Int32) -> Int32 {
    guard let machine = PreloadedVM(number: number, descriptor: descriptor) else {
        Report.say("the limits of /dev/kvm can't be probed; this VM's calls are passed on")
        return -1
    }
    machines[number] = machine
    return 0
}

/// Its last descriptor is gone.
@_cdecl("memslots_preload_closed")
func closed(_ number: UInt32) { machines[number] = nil }

/// Answers a slot call by the kernel's rules.
@_cdecl("memslots_preload_ask")
func ask(_ number: UInt32, _ region: UnsafePointer<cpreload_region>) -> Int32 {
    machines[number]?.ask(region.pointee).rawValue ?? Answer.refused(.ioError).rawValue
}

/// Carries a slot call out at once; all that was asked before is carried out.
@_cdecl("memslots_preload_now")
func carryOutNow(_ number: UInt32, _ region: UnsafePointer<cpreload_region>) -> Int32 {
    machines[number]?.carryOutNow(region.pointee) ?? Answer.refused(.ioError).rawValue
}

/// Commits all that was asked.
@_cdecl("memslots_preload_commit")
func commit(_ number: UInt32) { machines[number]?.commit() }

/// Answers `KVM_GET_DIRTY_LOG` or `KVM_CLEAR_DIRTY_LOG`; nothing is pending.
@_cdecl("memslots_preload_dirty_log")
func dirtyLog(
    _ number: UInt32, _ descriptor: Int32, _ request: UInt64,
    _ argument: UnsafeMutableRawPointer?
) -> Int32 {
    let result = cpreload_call(descriptor, UInt(request), argument)
    guard result >= 0, let machine = machines[number], let argument else { return result }
    machine.backend.kept.follow(request, argument, clearsByReading: machine.clearsByReading)
    return result
}

/// The VMM switched a capability on.
@_cdecl("memslots_preload_enabled")
func enabled(_ number: UInt32, _ capability: UInt32, _ argument: UInt64) {
    machines[number]?.enabled(capability, argument)
}

/// The VMM made a guest_memfd.
@_cdecl("memslots_preload_file")
func madeFile(_ number: UInt32, _ descriptor: Int32, _ size: UInt64) {
    _ = machines[number]?.open(descriptor, size: ByteCount(rawValue: size))
}

/// The VMM is about to close it.
@_cdecl("memslots_preload_file_closed")
func closedFile(_ number: UInt32, _ descriptor: Int32) { machines[number]?.close(descriptor) }

/// KVM may keep a guest range for slots of its own.
@_cdecl("memslots_preload_reserved")
func reserved(_ number: UInt32, _ start: UInt64, _ size: UInt64) {
    machines[number]?.doubtful.add(start, size)
}

/// Whether a commit now would take no memory away.
@_cdecl("memslots_preload_covers")
func covers(_ number: UInt32) -> Int32 {
    machines[number]?.coversInstalled == true ? 1 : 0
}

/// Whether a slot stands on user memory of this range, now or in what was asked.
@_cdecl("memslots_preload_backs")
func backs(_ number: UInt32, _ address: UInt64, _ size: UInt64) -> Int32 {
    machines[number]?.isBacked(by: address, size) == true ? 1 : 0
}
