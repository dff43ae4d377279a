import ArgumentParser
import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import Memslots

struct MapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "map",
        abstract: "Draw a memory map, or the change between two.",
        discussion: """
            FILE holds a memslot array as JSON: a list of slots, an object with "slots" (what \
            memslots.get answers), or a scenario, of which the last submitted array is drawn. With \
            --vm the array of a VM of a running daemon is drawn.
            """)

    @OptionGroup(title: "Daemon")
    var daemon: DaemonOptions

    @Option(help: "Draw what this VM of a daemon has.")
    var vm: String?

    @Flag(help: "Draw the change between two files.")
    var diff = false

    @Option(help: "Write the picture to this file as SVG.", completion: .file(extensions: ["svg"]))
    var svg: String?

    @Flag(help: "Draw every slot; without it long runs of like slots are folded.")
    var all = false

    @Argument(help: "FILE, or with --diff: BEFORE AFTER.", completion: .file())
    var files: [String] = []

    func validate() throws {
        guard vm == nil || (files.isEmpty && !diff) else {
            throw ValidationError("--vm takes no file")
        }
        guard vm != nil || daemon.socket == nil else {
            throw ValidationError("with --socket name the VM: --vm VM")
        }
        guard vm != nil || files.count == (diff ? 2 : 1) else {
            throw ValidationError(
                diff
                    ? "--diff takes two files: BEFORE AFTER"
                    : "name one file, or use --diff or --vm")
        }
    }

    func run() throws {
        var options = Terminal.textOptions
        if all { options.limit = nil }
        if let vm {
            var connection = try daemon.connect()
            let array = try connection.ask(.memslotsGet, vm: vm).result
            if array["installed"]?.bool == true {
                Terminal.complain("\(vm) has failed; this is what is really installed")
            }
            guard let slots = array["slots"], slots.elements.count > 0 else {
                return print("\(vm) has no slots")
            }
            let map = PicturedArray(answer: slots).map
            try show(map.lines(options), map.svg(title: vm, limit: options.limit))
        } else if diff {
            let change = try OfflineChange(before: files[0], after: files[1])
            let picture = change.picture
            let title = files.joined(separator: " → ")
            try show(picture.lines(options), picture.svg(title: title, limit: options.limit))
        } else {
            let file = try ArrayFile.read(files[0])
            let array = PicturedArray(file.slots)
            for fault in array.faults {
                let line = fault.index.map { ":\(file.lines[$0])" } ?? ""
                Terminal.complain("\(files[0])\(line): \(fault.message)")
            }
            let map = array.map
            try show(map.lines(options), map.svg(title: files[0], limit: options.limit))
        }
    }

    private func show(_ lines: [String], _ picture: String) throws {
        guard let svg else { return Terminal.print(lines) }
        guard let file = fopen(svg, "w") else {
            Terminal.complain("\(svg): can't be written: \(Errno(rawValue: errno).name)")
            throw ExitCode.failure
        }
        let written = fputs(picture, file)
        guard fclose(file) == 0, written >= 0 else {
            Terminal.complain("\(svg): can't be written: \(Errno(rawValue: errno).name)")
            throw ExitCode.failure
        }
    }
}

extension ArrayFile {
    /// Reads the file `name`, and tells what is wrong with it.
    static func read(_ name: String) throws -> ArrayFile {
        let input = try InputFile(name)
        let bytes = try input.bytes()
        do throws(UnusableInput) { return try ArrayFile(bytes) } catch {
            throw input.unusable(error)
        }
    }
}
