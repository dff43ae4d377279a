extension JSONDocument {
    /// How to get from the value at `root` to the one at `node` within it: `slots[3].size`.
    ///
    /// Only for messages: it walks the tape, so that readers need not keep a path.
    func path(from root: Int, to node: Int) -> String {
        var path = ""
        var container = root
        while container != node, nodes[container].isContainer {
            let end = nodes[container].extent
            let isObject = nodes[container].isObject
            var child = container + 1
            var index = 0
            while child < end {
                let value = isObject ? child + 1 : child
                let following = next(after: value)
                if node < following {
                    if isObject {
                        if !path.isEmpty { path += "." }
                        path += pathComponent(text(of: child))
                    } else {
                        path += "[\(index)]"
                    }
                    container = value
                    break
                }
                child = following
                index += 1
            }
            if child >= end { break }
        }
        return path
    }
}

/// A member's name as a path has it: in quotes if it holds anything but letters, digits, `_`, `-`.
package func pathComponent(_ name: String) -> String {
    let isPlain =
        !name.isEmpty
        && name.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    let name = shortened(name)
    return isPlain ? name : "\"\(name)\""
}
