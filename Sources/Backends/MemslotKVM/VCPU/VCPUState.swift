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
                (sregs.ds, sregs.es, sregs.fs, sregs.gs) = (sregs.ss, sregs.ss, sregs.ss, sregs.ss)
                sregs.tr.type = 11  // a busy task state, which long mode demands
                sregs.tr.present = 1
                sregs.tr.s = 0
                // Without page tables a fault must end in a shutdown. With the limits of a reset, its
                // delivery would read the missing tables, and KVM on AMD would try without end.
                (sregs.idt.limit, sregs.gdt.limit) = (0, 0)
            }
            _ = try CallResult(ckvm_set_sregs(descriptor, &sregs)).value()
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
            rax = regs.rax
            rbx = regs.rbx
            rcx = regs.rcx
            rdx = regs.rdx
            rsi = regs.rsi
            rdi = regs.rdi
            rsp = regs.rsp
            rbp = regs.rbp
            (r8, r9, r10, r11) = (regs.r8, regs.r9, regs.r10, regs.r11)
            (r12, r13, r14, r15) = (regs.r12, regs.r13, regs.r14, regs.r15)
            rip = regs.rip
            rflags = regs.rflags
        }

        var kernel: kvm_regs {
            var regs = kvm_regs()
            regs.rax = rax
            regs.rbx = rbx
            regs.rcx = rcx
            regs.rdx = rdx
            regs.rsi = rsi
            regs.rdi = rdi
            regs.rsp = rsp
            regs.rbp = rbp
            (regs.r8, regs.r9, regs.r10, regs.r11) = (r8, r9, r10, r11)
            (regs.r12, regs.r13, regs.r14, regs.r15) = (r12, r13, r14, r15)
            regs.rip = rip
            regs.rflags = rflags
            return regs
        }
    }

    extension VCPU {
        /// The general registers. Not while the vCPU runs.
        public func registers() throws(Errno) -> VCPURegisters {
            var regs = kvm_regs()
            _ = try CallResult(ckvm_get_regs(descriptor, &regs)).value()
            return VCPURegisters(regs)
        }

        /// Sets the general registers. Not while the vCPU runs.
        public func setRegisters(_ registers: VCPURegisters) throws(Errno) {
            var regs = registers.kernel
            _ = try CallResult(ckvm_set_regs(descriptor, &regs)).value()
        }
    }
#endif
