public import Memslots

/// The parameters of `memslots.submit` and `memslots.plan`.
public struct SubmitParameters: Sendable {
    /// The VM's name.
    public var vm = ""
    /// The complete array, in the order of the request.
    public var slots: [SlotParameters] = []
    /// The generation that the VM must have.
    public var expectedGeneration: Generation?
    /// When vCPUs are held out.
    public var quiesce = SubmitOptions.Quiesce.auto
    /// How long to wait for vCPUs and readers, in milliseconds; `nil` for the default.
    public var quiesceDeadlineMilliseconds: UInt64?

    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

extension SubmitParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        case vm, slots, expectedGeneration, quiesce, quiesceDeadlineMs
    }

    package static let table = MemberTable<Member> { $0 == .vm || $0 == .slots }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .slots: readSlots(at: node, from: &reader)
        case .expectedGeneration: expectedGeneration = Generation(reader.integer(at: node))
        case .quiesce: quiesce = reader.choice(at: node, default: .auto)
        case .quiesceDeadlineMs: quiesceDeadlineMilliseconds = reader.integer(at: node)
        }
    }

    private mutating func readSlots(at node: Int, from reader: inout ParameterReader) {
        let value = JSONValue(document: reader.document, node: node)
        var slots: [SlotParameters] = []
        slots.reserveCapacity(value.elements.count)
        reader.array(at: node) { element, reader in
            // Filled in place, because copying a slot counts its strings.
            slots.append(SlotParameters())
            reader.object(at: element, into: &slots[slots.count - 1])
        }
        self.slots = slots
    }
}
