/// The parameters of `observer.attach`.
public struct ObserverParameters: Sendable {
    /// The VM's name.
    public var vm = ""
    /// The new observer's name, within the rules for names.
    public var observer = ""
    /// The index of the back end's socket among the descriptors of the line.
    public var index = 0
    /// The names of the memory objects that the back end sees; `nil` for all.
    public var filter: [String]?

    /// Parameters without names.
    public init() {}
}

extension ObserverParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, observer, fd, filter }
    package static let table = MemberTable<Member> { $0 != .filter }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .observer: observer = reader.newName(at: node)
        case .fd: index = Int(clamping: reader.integer(at: node))
        case .filter:
            filter = []
            reader.array(at: node) { filter?.append($1.newName(at: $0)) }
        }
    }
}
