import CYardsticks
import Glibc

/// The machine that figures come from.
package struct MachineDescription: Hashable, Sendable {
    /// The processor as the kernel names it.
    package var processor: String
    /// How many processors the benchmark may use.
    package var cores: Int
    /// The kernel's release.
    package var kernel: String
    /// Whether a VM of the kernel's can be made.
    package var hasKVM: Bool
    /// Whether the yardsticks compare nodes by AVX-512.
    package var hasAVX512: Bool

    /// This machine.
    static func here() -> MachineDescription {
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: &name.release) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        let vm = ys_vm_make()
        ys_close(vm)
        return MachineDescription(
            processor: processorName(), cores: Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))),
            kernel: release, hasKVM: vm >= 0, hasAVX512: ys_has_avx512() != 0)
    }

    private static func processorName() -> String {
        let lines = SmallFile.read("/proc/cpuinfo")?.split(separator: "\n") ?? []
        for line in lines where line.hasPrefix("model name") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            return String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        return "unknown processor"
    }

    /// In one line.
    var text: String {
        "\(processor), \(cores) processors, Linux \(kernel), "
            + (hasKVM ? "KVM" : "no KVM") + (hasAVX512 ? ", AVX-512" : "")
    }
}

/// Files of a few kilobytes, such as those of `/proc`.
enum SmallFile {
    /// The file's text; `nil` if it can't be read.
    static func read(_ path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 18)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
