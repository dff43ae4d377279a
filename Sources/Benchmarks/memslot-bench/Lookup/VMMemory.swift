import Glibc
import MemslotLab
import MemslotPicture
import MemslotTestKit
import Memslots

/// The crate vm-memory as Debian has it, called through C functions of a small library that cargo builds
/// beside this program.
enum VMMemory {
    static let name = "vm-memory 0.10 (Rust)"

    /// The library, built once; else why it can't be had.
    static let library = Result<Library, BenchmarkError> { () throws(BenchmarkError) in
        try Library(at: try built())
    }

    /// Builds it before anything is measured, and is skipped by name where that is impossible.
    static let step = BenchmarkStep(name: "vm-memory of Rust") { _ in
        _ = try library.get()
        return []
    }

    /// Functions of a library that is never unloaded.
    struct Library {
        typealias Words = UnsafePointer<UInt64>
        let make: @Sendable @convention(c) (Words, Words, Words, Int) -> OpaquePointer?
        let free: @Sendable @convention(c) (OpaquePointer) -> Void
        let translate: @Sendable @convention(c) (OpaquePointer, Words, Int, Bool, UInt64) -> UInt64

        fileprivate init(at path: String) throws(BenchmarkError) {
            guard let library = dlopen(path, RTLD_NOW), let make = dlsym(library, "vm_memory_make"),
                let free = dlsym(library, "vm_memory_free"),
                let translate = dlsym(library, "vm_memory_translate")
            else { throw .broken("\(path) can't be loaded: \(String(cString: dlerror()))") }
            self.make = unsafeBitCast(make, to: type(of: self.make))
            self.free = unsafeBitCast(free, to: type(of: self.free))
            self.translate = unsafeBitCast(translate, to: type(of: self.translate))
        }
    }

    /// A table of slots, as vm-memory's.
    final class Table {
        private let library: Library
        private let memory: OpaquePointer

        init(_ slots: [Memslot], _ library: Library) throws {
            let memory = library.make(
                slots.map(\.guestPhysicalAddress.rawValue), slots.map(\.size.rawValue),
                slots.map(\.userspaceAddress.rawValue), slots.count)
            guard let memory else { throw BenchmarkError.broken("vm-memory refuses the slots") }
            (self.library, self.memory) = (library, memory)
        }

        deinit { library.free(memory) }

        func sum(_ addresses: [UInt64], _ order: AddressOrdering) -> UInt64 {
            library.translate(memory, addresses, addresses.count, order == .chained, Nothing.mask)
        }
    }

    /// Builds the library, in a folder beside this program, and returns its path.
    private static func built() throws(BenchmarkError) -> String {
        let folder = OwnProgram.folder + "/vm-memory"
        mkdir(folder, 0o755)
        guard Files.write(PackageResources.vm_memory_toml, to: folder + "/Cargo.toml"),
            Files.write(PackageResources.vm_memory_rs, to: folder + "/vm-memory.rs")
        else { throw .unavailable("\(folder) can't be written") }
        let command = """
            cd "$0" && export RUSTFLAGS='-C target-cpu=native' CARGO_TARGET_DIR=target && exec cargo build \
            --offline --release --config 'source.crates-io.replace-with="debian"' \
            --config 'source.debian.directory="/usr/share/cargo/registry"'
            """
        let log = folder + "/log"
        do {
            let cargo = try BuiltProgram.start(["/bin/sh", "-c", command, folder], output: log)
            if BuiltProgram.wait(for: cargo) {
                return folder + "/target/release/libvm_memory_yardstick.so"
            }
        } catch { throw .unavailable("cargo can't be run: \(error)") }
        throw .unavailable(
            "it needs cargo and the Debian package librust-vm-memory-dev; \(log) has what failed")
    }
}
