import MemslotLab
import MemslotSimulator
import Memslots
import Testing

@Suite("host profiles")
struct ProfileTests {
    /// The host of each profile, in numbers of the kernel's source.
    private static func source(
        _ profile: HostProfile, _ kernel: KernelVersion
    ) -> SourceTarget.Host {
        let hasFile = kernel >= KernelVersion(6, 18)
        let bound = kernel >= KernelVersion(7, 3) ? "EEXIST" : "EINVAL"
        func arm64(_ page: UInt64) -> SourceTarget.Host {
            SourceTarget.Host(
                pageSize: page, taskSizeMax: 1 << 48, hasGuestMemfd: hasFile, boundErrno: bound
            ) { base, pages, _ in
                base + pages > (1 << 40) / page ? "EFAULT" : nil
            }
        }
        switch profile {
        case .x86:
            return SourceTarget.Host(
                userSlots: 32_764, taskSizeMax: 0x7fff_ffff_f000, hasGuestMemfd: hasFile,
                boundErrno: bound
            ) { base, pages, _ in
                base + pages - 1 > (1 << 40) - 1 ? "EINVAL" : nil
            }
        case .arm64: return arm64(4 << 10)
        case .arm64Pages16K: return arm64(16 << 10)
        case .arm64Pages64K: return arm64(64 << 10)
        case .s390x:
            return SourceTarget.Host(
                userSlots: kernel >= KernelVersion(6, 14) ? 32_766 : 32_767,
                taskSizeMax: 0xffff_ffff_ffff_f000, hasReadOnly: false
            ) { base, pages, hva in
                let mask: UInt64 = kernel < KernelVersion(7, 1) ? 0xfffff : 0xfff
                if (hva | pages * 4096) & mask != 0 { return "EINVAL" }
                return base * 4096 + pages * 4096 > 1 << 53 ? "EINVAL" : nil
            }
        case .riscv64:
            return SourceTarget.Host(taskSizeMax: 0x7fff_ffff_ffff_f000) { base, pages, _ in
                base + pages >= (1 << 50) >> 12 ? "EFAULT" : nil
            }
        }
    }

    @Test(
        "random calls get the replies of the kernel's source", arguments: HostProfile.allCases,
        ["6.1", "6.18", "7.3"])
    func random(profile: HostProfile, version: String) throws {
        let kernel = try #require(KernelVersion(version))
        var configuration = SimulatorConfiguration(profile: profile, kernel: kernel)
        configuration.flags = profile.flags(kernel)
        var capabilities = try configuration.capabilities()
        // A raw call names its file.
        capabilities.providesGuestMemfd = false
        var comparison = Comparison(capabilities: capabilities, hasGuest: false) {
            SourceTarget(Self.source(profile, kernel))
        }
        comparison.callsPerVM = 1_000
        let report = try comparison.run(seed: 3, count: 12_000)
        #expect(report.difference == nil, "\(report.difference?.description ?? "")")
        #expect(report.results["success", default: 0] > 1_000)
        #expect(report.results["EEXIST", default: 0] > 50)
    }

    @Test("a rule of another profile is found", arguments: HostProfile.allCases)
    func otherRule(profile: HostProfile) throws {
        var capabilities = try SimulatorConfiguration(profile: profile).capabilities()
        capabilities.facts.pastLastPage =
            capabilities.facts.pastLastPage == .badAddress ? .invalidArgument : .badAddress
        let comparison = Comparison(
            capabilities: capabilities, hasRegion2: false, hasGuest: false
        ) {
            SourceTarget(Self.source(profile, KernelVersion(6, 1)))
        }
        #expect(try comparison.run(seed: 1, count: 20_000).difference != nil)
    }
}
