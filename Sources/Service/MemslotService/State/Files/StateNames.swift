/// What the files of one VM are called: by a number, because a name may be anything.
enum StateNames {
    /// The record of a VM.
    static func record(_ vm: UInt64) -> String { "vm-\(vm).state" }

    /// The file of a memory object; its descriptor's name in a descriptor store is the same.
    static func memory(_ id: UInt32, of vm: UInt64) -> String { "vm-\(vm).memory-\(id)" }

    /// A damaged record that was set aside.
    static func damaged(_ vm: UInt64, _ index: Int) -> String {
        "\(record(vm)).damaged-\(index)"
    }

    /// What a name says.
    enum Kind: Equatable {
        case record
        /// A text that was being written, or one that was replaced.
        case leftover
        case damaged
        case memory(UInt32)
    }

    /// What `name` is of which VM; `nil` for a name that is not ours.
    static func parse(_ name: String) -> (vm: UInt64, kind: Kind)? {
        guard name.hasPrefix("vm-"), let dot = name.firstIndex(of: "."),
            let vm = number(name[..<dot].dropFirst(3))
        else { return nil }
        let rest = name[name.index(after: dot)...]
        switch rest {
        case "state": return (vm, .record)
        case "state.new", "state.old": return (vm, .leftover)
        case _ where rest.hasPrefix("state.damaged-"): return (vm, .damaged)
        case _ where rest.hasPrefix("memory-"):
            guard let id = number(rest.dropFirst(7)), let id = UInt32(exactly: id) else {
                return nil
            }
            return (vm, .memory(id))
        default: return nil
        }
    }

    /// A number as we write it: neither a sign nor leading zeros.
    private static func number(_ text: Substring) -> UInt64? {
        guard let number = UInt64(text), String(number) == text, number < 1 << 62 else {
            return nil
        }
        return number
    }
}
