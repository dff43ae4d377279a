import Foundation
import MemslotKVM
import TestSupport
import Testing

private let compilerIsThere = Programs.compiler != nil
private let storageDaemon = BuiltProducts.tool("qemu-storage-daemon")
private let hasKVM = KVMSystem.unavailability() == nil

@Suite(
    "programs in other languages",
    .enabled(if: Programs.library != nil, "libmemslots-c.so is built"))
struct ProgramTests {
    @Test("the example in C, on the simulator", .enabled(if: compilerIsThere, "no C compiler"))
    func exampleSimulated() throws {
        let program = try Programs.compile("Sources/Examples/c/vmm.c")
        let (status, output) = try Programs.run(program, ["simulated"])
        #expect(status == 0, "\(output)")
        #expect(output.contains("split the RAM: delete 1, create 1, create 4; guest held for"))
        #expect(output.contains("next pass, slot 4: send 8 of 8 pages"))
        #expect(output.hasSuffix("no spurious exit, no lost increment.\n"))
    }

    @Test(
        "the example in C, on KVM", .enabled(if: compilerIsThere, "no C compiler"),
        .enabled(if: hasKVM, "KVM does not open here"))
    func exampleOnKVM() throws {
        let program = try Programs.compile("Sources/Examples/c/vmm.c")
        let (status, output) = try Programs.run(program)
        #expect(status == 0, "\(output)")
        #expect(output.hasPrefix("A guest counts in 16 pages"))
        #expect(output.contains("plug a DIMM: create 3; guest not held"))
        #expect(output.contains("a device sees 4096 bytes of the RAM in 1 piece of slot 1"))
        #expect(output.hasSuffix("no spurious exit, no lost increment.\n"))
    }

    @Test(
        "the example in C under the address and undefined-behaviour sanitizers",
        .enabled(if: compilerIsThere, "no C compiler"))
    func sanitized() throws {
        let program = try Programs.compile(
            "Sources/Examples/c/vmm.c",
            ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
        let (status, output) = try Programs.run(program, ["simulated"])
        #expect(status == 0, "\(output)")
        #expect(!output.contains("Sanitizer"))
    }

    @Test(
        "null, garbage and closed handles, from eight threads at once",
        .enabled(if: compilerIsThere, "no C compiler"))
    func hostile() throws {
        let program = try Programs.compile("Tests/Bindings/LibMemslotsTests/Programs/hostile.c")
        let (status, output) = try Programs.run(program)
        #expect(status == 0, "\(output)")
        #expect(output == "survived\n")
    }

    @Test(
        "a block device of a real back end, through the C interface",
        .enabled(if: compilerIsThere, "no C compiler"),
        .enabled(if: storageDaemon != nil, "no qemu-storage-daemon"))
    func backEnd() throws {
        let program = try Programs.compile("Tests/Bindings/LibMemslotsTests/Programs/back_end.c")
        let (status, output) = try withDisk { try Programs.run(program, [$0]) }
        #expect(status == 0, "\(output)")
        #expect(output == "six sectors, no loss\n")
    }

    @Test(
        "the example in C, followed by a real back end",
        .enabled(if: compilerIsThere, "no C compiler"),
        .enabled(if: storageDaemon != nil, "no qemu-storage-daemon"),
        arguments: hasKVM ? [[], ["simulated"]] : [["simulated"]])
    func exampleWithBackEnd(words: [String]) throws {
        let program = try Programs.compile("Sources/Examples/c/vmm.c")
        let (status, output) = try withDisk { try Programs.run(program, words + [$0]) }
        #expect(status == 0, "\(output)")
        // RAM, BAR, DIMM and what is below.
        #expect(output.contains("the back end has 4 regions after "), "\(output)")
        #expect(output.hasSuffix("no spurious exit, no lost increment.\n"), "\(output)")
    }

    /// Runs `body` with the socket of a disk of 64 sectors, each filled with its number.
    private func withDisk<R>(_ body: (String) throws -> R) throws -> R {
        let scratch = try ScratchDirectory()
        let sectors = (0..<64).flatMap { [UInt8](repeating: $0, count: 512) }
        let (image, socket) = (try scratch.write(sectors, to: "disk"), scratch.path("socket"))
        let daemon = ChildProcess()
        daemon.executableURL = URL(fileURLWithPath: storageDaemon ?? "")
        daemon.arguments = [
            "--blockdev", "driver=file,node-name=disk,filename=\(image)", "--export",
            "type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=\(socket)",
        ]
        try daemon.run()
        defer {
            kill(daemon.processIdentifier, SIGKILL)
            daemon.waitUntilExit()
        }
        try waitUntil(socket) { access(socket, F_OK) == 0 || !daemon.isRunning }
        return try body(socket)
    }

    @Test("the library exports exactly the functions that the header declares")
    func exports() throws {
        let header = try String(
            contentsOf: Repository.url("Sources/Bindings/CMemslots/include/memslots.h"),
            encoding: .utf8)
        let code = header.replacing(/\/\*[\s\S]*?\*\//, with: "")
        let declared = Set(code.matches(of: /(memslots_[a-z0-9_]+)\(/).map { String($0.1) })
        let library = try #require(Programs.library)
        let nm = try #require(BuiltProducts.tool("nm", "llvm-nm"))
        let symbols = try Programs.run(nm, ["-D", "--defined-only", library]).output
        let exported = Set(
            symbols.split(separator: "\n").compactMap { line in
                line.split(separator: " ").last.map(String.init)
            }.filter { $0.hasPrefix("memslots_") })
        #expect(declared.count > 40)
        #expect(declared == exported)
    }
}
