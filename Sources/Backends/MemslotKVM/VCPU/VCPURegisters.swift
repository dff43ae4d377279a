#if arch(x86_64)
    import CKVM
    public import Memslots

    /// The general registers of an x86 vCPU. Kernel: `struct kvm_regs`.
    public struct VCPURegisters: Hashable, Sendable {
        /// The register of this name.
        public var rax: UInt64 = 0
        /// The register of this name.
        public var rbx: UInt64 = 0
        /// The register of this name.
        public var rcx: UInt64 = 0
        /// The register of this name.
        public var rdx: UInt64 = 0
        /// The register of this name.
        public var rsi: UInt64 = 0
        /// The register of this name.
        public var rdi: UInt64 = 0
        /// The register of this name.
        public var rsp: UInt64 = 0
        /// The register of this name.
        public var rbp: UInt64 = 0
        /// r8 to r15.
        public var r8to15: [UInt64] = Array(repeating: 0, count: 8)
        /// The instruction pointer.
        public var rip: UInt64 = 0
        /// The flags; bit 1 is always set.
        public var rflags: UInt64 = 2

        /// All 0, which is what a program that needs nothing starts with.
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
            r8to15 = [
                regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
            ]
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
            // Missing ones are 0.
            let high = r8to15 + Array(repeating: 0, count: 8)
            (regs.r8, regs.r9, regs.r10, regs.r11) = (high[0], high[1], high[2], high[3])
            (regs.r12, regs.r13, regs.r14, regs.r15) = (high[4], high[5], high[6], high[7])
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
