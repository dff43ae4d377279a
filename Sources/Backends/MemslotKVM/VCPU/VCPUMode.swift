#if arch(x86_64)
    import CKVM
    public import Memslots

    /// A processor mode that a guest program starts in.
    public enum VCPUMode: Hashable, Sendable {
        /// 16-bit real mode. Each segment is 4 GiB long from its base, so that 32-bit offsets
        /// reach past 64 KiB.
        case real(
            code: GuestPhysicalAddress, data: GuestPhysicalAddress, extra: GuestPhysicalAddress)
        /// 64-bit long mode at privilege level 3, with page tables at an address.
        /// There are no descriptor tables: an exception is a shutdown.
        case user(pageTables: GuestPhysicalAddress)
    }

    extension VCPU {
        /// Puts the vCPU into `mode`. Not while it runs.
        public func enter(_ mode: VCPUMode) throws(Errno) {
            var sregs = kvm_sregs()
            _ = try CallResult(ckvm_get_sregs(descriptor, &sregs)).value()
            switch mode {
            case .real(let code, let data, let extra):
                sregs.cs = .real(base: code.rawValue, from: sregs.cs)
                sregs.ds = .real(base: data.rawValue, from: sregs.ds)
                sregs.es = .real(base: extra.rawValue, from: sregs.es)
            case .user(let pageTables):
                sregs.cr0 = 0x8000_0031  // paging, protection; extension type, numeric errors
                sregs.cr3 = pageTables.rawValue
                sregs.cr4 = 0x20  // physical address extension
                sregs.efer = 0x500  // long mode, enabled and active
                sregs.cs = .user(selector: 0x1b, type: 11)
                sregs.cs.l = 1
                sregs.ss = .user(selector: 0x23, type: 3)
                sregs.ss.db = 1
                (sregs.ds, sregs.es, sregs.fs, sregs.gs) =
                    (sregs.ss, sregs.ss, sregs.ss, sregs.ss)
                sregs.tr.type = 11  // a busy task state, which long mode demands
                sregs.tr.present = 1
                sregs.tr.s = 0
            }
            _ = try CallResult(ckvm_set_sregs(descriptor, &sregs)).value()
        }

        /// Long mode must stand in the vCPU's CPUID before it can be entered.
        static func giveHostFeatures(
            to vcpu: Int32, system: KVMSystem
        ) throws(KVMError) {
            let header = MemoryLayout<kvm_cpuid2>.size
            let entry = MemoryLayout<kvm_cpuid_entry2>.size
            // Unsafe: a flexible array; 256 is the most that the kernel has.
            let buffer = UnsafeMutableRawPointer.allocate(
                byteCount: header + 256 * entry, alignment: 8)
            defer { buffer.deallocate() }
            let cpuid = buffer.initializeMemory(as: kvm_cpuid2.self, to: kvm_cpuid2())
            cpuid.pointee.nent = 256
            _ = try CallResult(ckvm_get_supported_cpuid(system.descriptor, cpuid))
                .value(of: "KVM_GET_SUPPORTED_CPUID")
            _ = try CallResult(ckvm_set_cpuid2(vcpu, cpuid)).value(of: "KVM_SET_CPUID2")
        }
    }

    extension kvm_segment {
        fileprivate static func real(base: UInt64, from old: kvm_segment) -> kvm_segment {
            var segment = old
            segment.base = base
            segment.selector = 0
            segment.limit = 0xffff_ffff
            segment.g = 1
            return segment
        }

        fileprivate static func user(selector: UInt16, type: UInt8) -> kvm_segment {
            var segment = kvm_segment()
            segment.limit = 0xffff_ffff
            segment.selector = selector
            segment.type = type
            segment.present = 1
            segment.dpl = 3
            segment.s = 1
            segment.g = 1
            return segment
        }
    }
#endif
