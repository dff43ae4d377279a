import Foundation
package import MemslotProtocol
import TestSupport

/// The part of JSON Schema 2020-12 that the protocol's schema uses. An unknown keyword is an error.
///
/// Numbers are compared as text, so that 2^64 − 1 is not rounded.
package final class JSONSchema {
    /// Why a schema can't be used.
    package struct Unusable: Error, CustomStringConvertible {
        package let description: String
    }

    private let document: JSONValue
    private var compiled: [String: Node] = [:]

    /// The root of `Docs/protocol.schema.json`.
    ///
    /// - Parameter isStrict: whether unknown members of replies and notifications are faults. A
    ///   client must ignore them; what our server sends is all described.
    package static func protocolDocument(isStrict: Bool = true) throws -> JSONValue {
        let file = Repository.url("Docs/protocol.schema.json")
        let text = try String(contentsOf: file, encoding: .utf8)
        let unknown = "\"additionalProperties\": "
        return try JSONDocument(
            parsing: isStrict
                ? text.replacingOccurrences(of: unknown + "true", with: unknown + "false") : text
        ).root
    }

    /// The schema of the wire protocol.
    package convenience init() throws { try self.init(Self.protocolDocument()) }

    package init(_ document: JSONValue) throws {
        self.document = document
        // Compile the whole schema, so that parts that no message reaches are checked too.
        _ = try node(at: "#")
        try compileDefinitions(of: document, at: "#")
    }

    /// Returns the first fault of `value` by the schema at `pointer`; `nil` if there is none.
    package func fault(of value: JSONValue, at pointer: String = "#") throws -> String? {
        try node(at: pointer).fault(of: value, in: self, path: "$")
    }

    fileprivate func node(at pointer: String) throws -> Node {
        if let node = compiled[pointer] { return node }
        let node = Node()
        // Stored before it is compiled: a schema may name itself.
        compiled[pointer] = node
        try node.compile(try value(at: pointer), pointer)
        return node
    }

    private func compileDefinitions(of value: JSONValue, at pointer: String) throws {
        for definition in value["$defs"]?.members.map({ $0 }) ?? [] {
            let inner = "\(pointer)/$defs/\(definition.name)"
            _ = try node(at: inner)
            try compileDefinitions(of: definition.value, at: inner)
        }
    }

    private func value(at pointer: String) throws -> JSONValue {
        var value = document
        for part in pointer.split(separator: "/").dropFirst() {
            guard let next = value[String(part)] else {
                throw Unusable(description: "\(pointer) leads nowhere")
            }
            value = next
        }
        return value
    }
}

/// One schema, its keywords read.
private final class Node {
    private var isNever = false
    private var reference: String?
    private var types: [String]?
    private var constant: JSONValue?
    private var enumeration: [String]?
    private var properties: [String: Node] = [:]
    private var required: [String] = []
    private var additional: Node?
    private var items: Node?
    private var anyOf: [Node] = []
    private var oneOf: [Node] = []
    private var pattern: NSRegularExpression?
    private var minimum: UInt64?
    private var maximum: UInt64?
    private var minLength: Int?
    private var maxLength: Int?
    private var minItems: Int?
    private var maxItems: Int?
    private var isUnique = false

    func compile(_ schema: JSONValue, _ pointer: String) throws {
        if let bool = schema.bool {
            isNever = !bool
            return
        }
        for member in schema.members {
            try read(member.name, member.value, pointer)
        }
    }

    private func read(_ keyword: String, _ value: JSONValue, _ pointer: String) throws {
        switch keyword {
        case "$schema", "$id", "title", "description", "$defs": break
        case "$ref": reference = value.string
        case "type": types = value.string.map { [$0] } ?? value.list.compactMap(\.string)
        case "const": constant = value
        case "enum": enumeration = value.list.compactMap(\.string)
        case "properties":
            for member in value.members {
                properties[member.name] = try child(member.value, pointer)
            }
        case "required": required = value.list.compactMap(\.string)
        case "additionalProperties": additional = try child(value, pointer)
        case "items": items = try child(value, pointer)
        case "anyOf": anyOf = try value.list.map { try child($0, pointer) }
        case "oneOf": oneOf = try value.list.map { try child($0, pointer) }
        case "pattern": pattern = try NSRegularExpression(pattern: value.string ?? "")
        case "minimum": minimum = value.uint64
        case "maximum": maximum = value.uint64
        case "minLength": minLength = value.int
        case "maxLength": maxLength = value.int
        case "minItems": minItems = value.int
        case "maxItems": maxItems = value.int
        case "uniqueItems": isUnique = value.bool == true
        default: throw JSONSchema.Unusable(description: "\(pointer): unknown \(keyword)")
        }
    }

    private func child(_ schema: JSONValue, _ pointer: String) throws -> Node {
        let node = Node()
        try node.compile(schema, pointer)
        return node
    }

    func fault(of value: JSONValue, in schema: JSONSchema, path: String) throws -> String? {
        if isNever { return "\(path) may not be there" }
        if let reference,
            let fault = try schema.node(at: reference).fault(of: value, in: schema, path: path)
        {
            return fault
        }
        if let types, !types.contains(where: { value.isOf($0) }) {
            return "\(path) is \(value.kind), not \(types)"
        }
        if let constant, constant.rawText != value.rawText {
            return "\(path) is \(value.rawText), not \(constant.rawText)"
        }
        if let enumeration, !enumeration.contains(value.string ?? "") {
            return "\(path) is \(value.rawText), none of \(enumeration)"
        }
        switch value.kind {
        case .object: return try objectFault(value, schema, path) ?? choose(value, schema, path)
        case .array: return try arrayFault(value, schema, path) ?? choose(value, schema, path)
        default: return try scalarFault(value, path) ?? choose(value, schema, path)
        }
    }

    private func objectFault(
        _ value: JSONValue, _ schema: JSONSchema, _ path: String
    ) throws -> String? {
        var names: Set<String> = []
        for member in value.members {
            let name = member.name
            names.insert(name)
            guard let node = properties[name] ?? additional else { continue }
            let inner = "\(path).\(name)"
            if let fault = try node.fault(of: member.value, in: schema, path: inner) {
                return fault
            }
        }
        return required.first { !names.contains($0) }.map { "\(path).\($0) is missing" }
    }

    private func arrayFault(
        _ value: JSONValue, _ schema: JSONSchema, _ path: String
    ) throws -> String? {
        let elements = value.list
        if let minItems, elements.count < minItems { return "\(path) has too few elements" }
        if let maxItems, elements.count > maxItems { return "\(path) has too many elements" }
        if isUnique, Set(elements.map(\.rawText)).count < elements.count {
            return "\(path) repeats an element"
        }
        guard let items else { return nil }
        for (index, element) in elements.enumerated() {
            if let fault = try items.fault(of: element, in: schema, path: "\(path)[\(index)]") {
                return fault
            }
        }
        return nil
    }

    private func scalarFault(_ value: JSONValue, _ path: String) throws -> String? {
        if value.kind == .number, minimum != nil || maximum != nil {
            guard let number = value.uint64, number >= minimum ?? 0, number <= maximum ?? .max
            else { return "\(path) is \(value.rawText), out of range" }
        }
        guard let text = value.string else { return nil }
        let length = text.unicodeScalars.count
        if let minLength, length < minLength { return "\(path) is too short" }
        if let maxLength, length > maxLength { return "\(path) is too long" }
        if let pattern {
            let range = NSRange(text.startIndex..., in: text)
            if pattern.firstMatch(in: text, range: range) == nil {
                return "\(path) is \(value.rawText), not like \(pattern.pattern)"
            }
        }
        return nil
    }

    private func choose(
        _ value: JSONValue, _ schema: JSONSchema, _ path: String
    ) throws -> String? {
        if !anyOf.isEmpty {
            var first: String?
            for node in anyOf {
                guard let fault = try node.fault(of: value, in: schema, path: path) else {
                    first = nil
                    break
                }
                first = first ?? fault
            }
            if let first { return "\(path): none of anyOf, the first because: \(first)" }
        }
        if !oneOf.isEmpty {
            let faults = try oneOf.map { try $0.fault(of: value, in: schema, path: path) }
            let matches = faults.count { $0 == nil }
            if matches != 1 {
                let reasons = faults.compactMap { $0 }.joined(separator: "; ")
                return "\(path): \(matches) of oneOf match: \(reasons)"
            }
        }
        return nil
    }
}

extension JSONValue {
    /// Whether this is of a type of JSON Schema. An integer is one that is written as such.
    fileprivate func isOf(_ type: String) -> Bool {
        switch type {
        case "object": kind == .object
        case "array": kind == .array
        case "string": kind == .string
        case "number": kind == .number
        case "integer": kind == .number && rawText.allSatisfy { $0.isNumber || $0 == "-" }
        case "boolean": bool != nil
        case "null": isNull
        default: false
        }
    }
}
