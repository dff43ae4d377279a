// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import MemslotKVM
import Memslots

/// A vCPU that the caller has registered, with the VM that drains its dirty ring.
final class OpenVCPU: Sendable {
    let guarded: GuardedVCPU
    let backend: KVMBackend
    // Keeps the table, whose gate the vCPU uses.
    let table: OpenTable
    private let reservation: VCPUReservation

    init(
        _ guarded: GuardedVCPU, of backend: KVMBackend, in table: OpenTable,
        by reservation: VCPUReservation
    ) {
        (self.guarded, self.backend) = (guarded, backend)
        (self.table, self.reservation) = (table, reservation)
    }

    deinit { guarded.releaseSharedPage() }
}

@c @implementation public func memslots_vcpu_open(
    _ table: memslots_table, _ options: UnsafePointer<memslots_vcpu_options>?,
    _ vcpu: UnsafeMutablePointer<memslots_vcpu>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        guard let options = try SizedStructure.read(options), let page = options.kvm_run, let vcpu
        else { throw .badArgument("options, kvm_run or vcpu is NULL") }
        guard case .kvm(let backend) = open.vm, let gate = open.table.vcpuGate else {
            throw .notSupported(
                "only a table on KVM has vCPUs; a guarded call runs other code in the gate")
        }
        let signal = try kickSignal(options.kick_signal)
        guard let reservation = VCPUReservation(options.descriptor) else {
            throw .badArgument("the vCPU is registered already; close its other handle first")
        }
        try converting(Problem.kvm, backend.watchDirtyRing(ofVCPU: options.descriptor))
        let guarded = GuardedVCPU(
            VCPU(adopting: options.descriptor, sharedPage: page, id: options.id),
            gate: gate, signal: signal, name: string(options.name))
        vcpu.pointee.value = try HandleTable.shared.open(
            OpenVCPU(guarded, of: backend, in: open, by: reservation), as: .vcpu)
    }
}

@c @implementation public func memslots_vcpu_close(_ vcpu: memslots_vcpu) -> Int32 {
    returnCode { () throws(Problem) in try HandleTable.shared.close(vcpu.value, .vcpu) }
}

@c @implementation public func memslots_accept_kicks(_ signal: Int32) -> Int32 {
    returnCode { () throws(Problem) in
        let signal = try kickSignal(signal)
        try converting(
            { Problem.system(call: "pthread_sigmask of the kick signal", $0) },
            signal.acceptOnCurrentThread())
    }
}

private func kickSignal(_ number: Int32) throws(Problem) -> KickSignal {
    try converting(
        { Problem.system(call: "sigaction of the kick signal", $0) },
        KickSignal(number: number == 0 ? KickSignal.firstRealtime : number))
}

@c @implementation public func memslots_vcpu_run(
    _ vcpu: memslots_vcpu, _ requests: UnsafeMutablePointer<UInt32>?
) -> Int32 {
    var success = Int32(MEMSLOTS_OK)
    let code = returnCode(vcpu.value, .vcpu, as: OpenVCPU.self) { open throws(Problem) in
        do throws(VCPURunError) {
            let turn = try open.guarded.run()
            requests?.pointee = turn.requests.bits
            switch turn.exit {
            case .interrupted: success = Int32(MEMSLOTS_INTERRUPTED)
            case .notReady: success = Int32(MEMSLOTS_NOT_READY)
            default: break
            }
        } catch {
            switch error {
            case .reentrant(let error): throw .reentrant(error)
            case .failed(let errno): throw .system(call: "KVM_RUN", errno)
            }
        }
    }
    return code == MEMSLOTS_OK ? success : code
}

extension KickRequests {
    fileprivate var bits: UInt32 {
        (contains(.gate) ? UInt32(MEMSLOTS_KICK_TRANSACTION) : 0)
            | (contains(.embedder) ? UInt32(MEMSLOTS_KICK_EMBEDDER) : 0)
    }
}

@c @implementation public func memslots_vcpu_kick(_ vcpu: memslots_vcpu) -> Int32 {
    returnCode(vcpu.value, .vcpu, as: OpenVCPU.self) { $0.guarded.kick() }
}

@c @implementation public func memslots_vcpu_drain_dirty_ring(_ vcpu: memslots_vcpu) -> Int32 {
    returnCode(vcpu.value, .vcpu, as: OpenVCPU.self) { open throws(Problem) in
        try converting(
            { Problem.system(call: "KVM_RESET_DIRTY_RINGS", $0) },
            open.backend.collectDirtyRings(afterFullRingOf: open.guarded.descriptor))
    }
}

@c @implementation public func memslots_guarded(
    _ table: memslots_table, _ name: UnsafePointer<CChar>?,
    _ body: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
    _ kick: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
    _ context: UnsafeMutableRawPointer?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        guard let body else { throw .badArgument("body is NULL") }
        guard let gate = open.table.vcpuGate else {
            throw .notSupported("the table has no vCPU gate")
        }
        let caller = Locked(Optional(Borrowed((kick: kick, context: context))))
        // The kick is not called after this call has returned.
        defer { caller.withLock { $0 = nil } }
        let entry = gate.register(name: string(name) ?? "guarded") {
            caller.withLock { if let caller = $0 { caller.value.kick?(caller.value.context) } }
        }
        try converting(Problem.reentrant, entry.run { body(context) })
    }
}
