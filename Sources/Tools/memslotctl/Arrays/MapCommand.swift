import ArgumentParser
import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import Memslots

struct MapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "map", abstract: "Draw a memory map, or the change between two.",
        discussion: """
            FILE contains a memslot array as JSON: a list of slots, an object with "slots" (the \
            result of memslots.get), a scenario, which means its last submitted array, or the \
            text of QEMU's 'info mtree -f'. --vm draws the array of a VM of a running daemon.

            An array that breaks a rule is drawn, its faults are printed, and the exit status is 2.
            """)

    @OptionGroup(title: "Daemon") var daemon: DaemonOptions
    @Option(help: "Draw the array of this VM of a daemon.") var vm: String?
    @OptionGroup(title: "Rules") var rules: OfflineRules

    @Option(help: "The VM's flags, by commas: log-dirty-pages, readonly, guest-memfd, or none.")
    var flags: String?

    @Flag(help: "Print the slots, the findings and the rules as JSON.") var json = false
    @Flag(help: "Draw the change between two files.") var diff = false

    @Option(help: "Write the picture to this file as SVG.", completion: .file(extensions: ["svg"]))
    var svg: String?

    @Flag(help: "Draw every slot; by default long runs of similar slots are folded.")
    var all = false

    @Argument(help: "FILE, or with --diff: BEFORE AFTER.", completion: .file())
    var files: [String] = []

    func validate() throws {
        try require(vm == nil || (files.isEmpty && !diff), "--vm accepts no file")
        try require(vm != nil || daemon.socket == nil, "--socket needs a VM: --vm VM")
        try require(
            !json || (svg == nil && vm == nil && !diff), "--json prints the array of one file")
        try require(
            vm != nil || files.count == (diff ? 2 : 1),
            diff ? "--diff needs two files: BEFORE AFTER" : "name one file, or use --diff or --vm")
    }

    func run() throws {
        if let file = files.first, file != "-", access(file, F_OK) != 0, errno == ENOENT {
            throw UnusableFile(
                "\(file): there is no such file; of a VM of a daemon: --vm \(shellWord(file))")
        }
        var options = Terminal.textOptions
        if all { options.limit = nil }
        if let vm {
            var connection = try daemon.connect()
            let array = try connection.send(DaemonRequest(.memslotsGet, vm: vm)).result
            if array["installed"]?.bool == true {
                Terminal.complain("\(vm) has failed; the map shows the installed slots")
            }
            guard let slots = array["slots"], slots.elements.count > 0 else {
                return Terminal.print("\(vm) has no slots")
            }
            let map = PicturedArray(result: slots).map
            try show(map.lines(options), map.svg(title: vm, limit: options.limit))
        } else if diff {
            let change = try OfflineChange(before: files[0], after: files[1], rules, flags: flags)
            let picture = change.picture
            let title = files.joined(separator: " → ")
            try show(picture.lines(options), picture.svg(title: title, limit: options.limit))
        } else {
            let file = try ArrayFile.read(files[0])
            let array = PicturedArray(file.slots)
            let used = try rules.rules(for: [file], flags: flags)
            let findings = ArrayFindings(array.slots, maxSlots: used.limits.maxSlots).all
            if json {
                print(file, findings, used)
            } else {
                let map = array.map
                try show(map.lines(options), map.svg(title: files[0], limit: options.limit))
                guard svg == nil else { return try file.check(array, used) }
                if !findings.isEmpty { Terminal.print("") }
                Terminal.print(findings.map(\.description) + [used.description])
            }
            try file.check(array, used)
        }
    }

    private func print(_ file: ArrayFile, _ findings: [Finding], _ used: UsedRules) {
        var writer = JSONWriter()
        writer.line { writer in
            writer.slots(of: file)
            writer.list("findings", findings) { writer, finding in
                writer.object {
                    $0.member("severity", finding.severity.rawValue)
                    $0.member("kind", finding.kind.rawValue)
                    $0.member("message", finding.text)
                }
            }
            writer.member("rules", used.description)
        }
        Terminal.write(writer.bytes)
    }

    private func show(_ lines: [String], _ picture: String) throws {
        guard let svg else { return Terminal.print(lines) }
        try OutputFile.write(Array(picture.utf8), to: svg)
    }
}

extension ArrayFile {
    static func read(_ name: String) throws -> ArrayFile {
        let input = try InputFile(name)
        let bytes = try input.bytes()
        do throws(UnusableInput) {
            var file = try ArrayFile(bytes)
            file.name = name
            return file
        } catch { throw input.unusable(error) }
    }
}

enum OutputFile {
    /// Replaces the contents of the file at `path`. Throws the status, after printing the reason.
    static func write(_ bytes: [UInt8], to path: String) throws(ExitCode) {
        do throws(Errno) {
            let file = try open(path)
            try writeAll(bytes, to: file)
            guard close(file) == 0 else { throw .last }
        } catch { throw .failed("\(path): can't be written: \(error.name)") }
    }

    /// Checks that a file can be written, before the work whose result it is to hold. Creates it.
    static func check(_ path: String) throws(Errno) {
        var status = stat()
        // To open a pipe waits for its reader, and to close it would end it.
        let kind = stat(path, &status) < 0 ? S_IFREG : status.st_mode & S_IFMT
        guard kind == S_IFREG || kind == S_IFDIR else { return }
        close(try open(path, O_CREAT))
    }

    static func open(_ path: String, _ mode: Int32 = O_CREAT | O_TRUNC) throws(Errno) -> Int32 {
        let file = Glibc.open(path, O_WRONLY | O_CLOEXEC | mode, 0o644)
        guard file >= 0 else { throw .last }
        return file
    }
}
