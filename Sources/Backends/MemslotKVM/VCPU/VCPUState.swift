#if arch(x86_64)
    import CKVM
    public import Memslots

    /// The processor mode in which a guest program starts.
    public enum VCPUMode: Hashable, Sendable {
        /// 16-bit real mode. Each segment has 4 GiB from its base, so 32-bit offsets may exceed
        /// 64 KiB.
        case real(
            code: GuestPhysicalAddress, data: GuestPhysicalAddress, extra: GuestPhysicalAddress)
        /// 64-bit long mode at privilege level 3, with page tables at an address. Without descriptor
        /// tables, an exception shuts the vCPU down.
        case user(pageTables: GuestPhysicalAddress)
    }

    extension VCPU {
        /// Sets the processor mode. Not while the vCPU runs.
        public func setMode(_ mode: VCPUMode) throws(Errno) {
            var sregs = kvm_sregs()
            _ = try valueOfCall(ckvm_get_sregs(descriptor, &sregs))
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
                (sregs.ds, sregs.es, sregs.fs, sregs.gs) = (sregs.ss, sregs.ss, sregs.ss, sregs.ss)
                sregs.tr.type = 11  // a busy task state, which long mode demands
                sregs.tr.present = 1
                sregs.tr.s = 0
                // Without page tables a fault must end in a shutdown. With the limits of a reset, its
                // delivery would read the missing tables, and KVM on AMD would try without end.
                (sregs.idt.limit, sregs.gdt.limit) = (0, 0)
            }
            _ = try valueOfCall(ckvm_set_sregs(descriptor, &sregs))
        }

        /// Sets the vCPU's CPUID to the host's. A vCPU whose CPUID lacks long mode can't enter it.
        static func setHostFeatures(of vcpu: Int32, system: KVMSystem) throws(KVMError) {
            let header = MemoryLayout<kvm_cpuid2>.size
            let entry = MemoryLayout<kvm_cpuid_entry2>.size
            // Unsafe: a flexible array. The kernel has at most 256 entries.
            let buffer = UnsafeMutableRawPointer.allocate(
                byteCount: header + 256 * entry, alignment: 8)
            defer { buffer.deallocate() }
            let cpuid = buffer.initializeMemory(as: kvm_cpuid2.self, to: kvm_cpuid2())
            cpuid.pointee.nent = 256
            try checkCall(
                "KVM_GET_SUPPORTED_CPUID", ckvm_get_supported_cpuid(system.descriptor, cpuid))
            try checkCall("KVM_SET_CPUID2", ckvm_set_cpuid2(vcpu, cpuid))
        }
    }

    extension kvm_segment {
        fileprivate static func real(base: UInt64, from old: kvm_segment) -> kvm_segment {
            var segment = old
            (segment.base, segment.selector) = (base, 0)
            (segment.limit, segment.g) = (0xffff_ffff, 1)
            return segment
        }

        fileprivate static func user(selector: UInt16, type: UInt8) -> kvm_segment {
            kvm_segment(
                base: 0, limit: 0xffff_ffff, selector: selector, type: type, present: 1, dpl: 3,
                db: 0, s: 1, l: 0, g: 1, avl: 0, unusable: 0, padding: 0)
        }
    }

    /// The general registers of an x86 vCPU. Kernel: `struct kvm_regs`.
    public struct VCPURegisters: Hashable, Sendable {
        /// The registers of these names.
        public var rax: UInt64 = 0, rbx: UInt64 = 0, rcx: UInt64 = 0, rdx: UInt64 = 0
        /// The registers of these names.
        public var rsi: UInt64 = 0, rdi: UInt64 = 0, rsp: UInt64 = 0, rbp: UInt64 = 0
        /// The registers of these names.
        public var r8: UInt64 = 0, r9: UInt64 = 0, r10: UInt64 = 0, r11: UInt64 = 0
        /// The registers of these names.
        public var r12: UInt64 = 0, r13: UInt64 = 0, r14: UInt64 = 0, r15: UInt64 = 0
        /// The instruction pointer.
        public var rip: UInt64 = 0
        /// The flags; bit 1 is always set.
        public var rflags: UInt64 = 2

        /// Creates registers that are 0, but for the flags, of which bit 1 is set.
        public init() {}

        init(_ regs: kvm_regs) {
            (rax, rbx, rcx, rdx) = (regs.rax, regs.rbx, regs.rcx, regs.rdx)
            (rsi, rdi, rsp, rbp) = (regs.rsi, regs.rdi, regs.rsp, regs.rbp)
            (r8, r9, r10, r11) = (regs.r8, regs.r9, regs.r10, regs.r11)
            (r12, r13, r14, r15) = (regs.r12, regs.r13, regs.r14, regs.r15)
            (rip, rflags) = (regs.rip, regs.rflags)
        }

        var kernel: kvm_regs {
            kvm_regs(
                rax: rax, rbx: rbx, rcx: rcx, rdx: rdx, rsi: rsi, rdi: rdi, rsp: rsp, rbp: rbp,
                r8: r8, r9: r9, r10: r10, r11: r11, r12: r12, r13: r13, r14: r14, r15: r15,
                rip: rip, rflags: rflags)
        }
    }

    extension VCPU {
        /// The general registers. Not while the vCPU runs.
        public func registers() throws(Errno) -> VCPURegisters {
            var regs = kvm_regs()
            _ = try valueOfCall(ckvm_get_regs(descriptor, &regs))
            return VCPURegisters(regs)
        }

        /// Sets the general registers. Not while the vCPU runs.
        public func setRegisters(_ registers: VCPURegisters) throws(Errno) {
            var regs = registers.kernel
            _ = try valueOfCall(ckvm_set_regs(descriptor, &regs))
        }
    }
#endif
