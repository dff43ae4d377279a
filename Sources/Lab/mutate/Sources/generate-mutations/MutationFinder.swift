import SwiftSyntax

/// A change of a file, which `.ci/mutate` puts behind a switch.
struct Mutation: Encodable {
    /// Stands for the switch in ``text``.
    static let isOn = "\u{1}"
    /// Stands for what is replaced, in which there may be other mutations.
    static let old = "\u{2}"

    let file, kind: String
    /// The bytes of the file that are replaced.
    let start: Int
    let end: Int
    let text: String
    let firstLine, lastLine: Int
    /// The first and the last line of the function around it.
    let scope: [Int]
}

/// Finds places of a file that can be changed, and how. Only code inside functions is changed. Each
/// change keeps the number of lines, so that the compiler's errors name the source's own lines.
final class MutationFinder: SyntaxAnyVisitor {
    private(set) var found: [Mutation] = []
    private let file: String
    private let places: SourceLocationConverter
    /// The functions around the node that is visited, from the outside.
    private var scopes: [Scope] = []

    private struct Scope {
        let node: Syntax
        let isInitializer: Bool
        let result: TypeSyntax?
    }

    init(_ file: String, _ tree: some SyntaxProtocol) {
        self.file = file
        places = SourceLocationConverter(fileName: file, tree: tree)
        super.init(viewMode: .sourceAccurate)
        walk(tree)
    }

    override func visitAny(_ node: Syntax) -> SyntaxVisitorContinueKind {
        switch node.as(SyntaxEnum.self) {
        case .functionDecl(let node):
            enter(node, result: node.signature.returnClause?.type, body: node.body?.statements)
        case .initializerDecl: scopes.append(Scope(node: node, isInitializer: true, result: nil))
        case .deinitializerDecl: enter(node)
        case .accessorBlock(let node): enter(node)
        case .closureExpr:
            // What a closure returns is not known; its statements are changed like others.
            guard let outer = scopes.last else { return .skipChildren }
            scopes.append(Scope(node: outer.node, isInitializer: outer.isInitializer, result: nil))
        case .conditionElement(let node):
            if case .expression(let condition) = node.condition {
                add("negated condition", condition, Self.negated)
            }
        case .ternaryExpr(let node): add("negated condition", node.condition, Self.negated)
        case .whereClause(let node): add("dropped where", node.condition, Self.always)
        case .infixOperatorExpr(let node): change(node)
        case .functionCallExpr(let node): swapArguments(of: node)
        case .codeBlockItem(let node): drop(node)
        case .returnStmt(let node): if let value = node.expression { replaceResult(value) }
        default: break
        }
        return .visitChildren
    }

    override func visitAnyPost(_ node: Syntax) {
        switch node.kind {
        case .functionDecl, .initializerDecl, .deinitializerDecl, .accessorBlock, .closureExpr:
            _ = scopes.popLast()
        default: break
        }
    }

    // MARK: Scopes

    private func enter(_ node: AccessorBlockSyntax) {
        let result =
            node.parent?.as(PatternBindingSyntax.self)?.typeAnnotation?.type
            ?? node.parent?.as(SubscriptDeclSyntax.self)?.returnClause.type
        guard case .getter(let body) = node.accessors else { return enter(node, result: nil) }
        enter(node, result: result, body: body)
    }

    private func enter(
        _ node: some SyntaxProtocol, result: TypeSyntax? = nil, body: CodeBlockItemListSyntax? = nil
    ) {
        scopes.append(Scope(node: Syntax(node), isInitializer: false, result: result))
        // A body that is one expression returns it.
        if let body, body.count == 1, case .expr(let value)? = body.first?.item, result != nil {
            replaceResult(value)
        }
    }

    // MARK: Conditions

    private static let negated = "(\(Mutation.isOn) != (\(Mutation.old)))"
    private static let always = "(\(Mutation.isOn) || (\(Mutation.old)))"

    private func change(_ node: InfixOperatorExprSyntax) {
        guard let token = node.operator.as(BinaryOperatorExprSyntax.self)?.operator.text else {
            return
        }
        switch token {
        case "&&", "||":
            let never = "(!\(Mutation.isOn) && (\(Mutation.old)))"
            for side in [node.leftOperand, node.rightOperand] {
                add("dropped condition", side, token == "&&" ? Self.always : never)
            }
        case "==", "!=", "===", "!==":
            // A whole condition is negated already.
            guard node.parent?.is(ConditionElementSyntax.self) != true else { break }
            add("negated comparison", node, Self.negated)
        default:
            guard let other = Self.others[token] else { break }
            exchange(node, token, with: other)
        }
    }

    /// What each operator is exchanged with.
    private static let others = [
        "<": "<=", "<=": "<", ">": ">=", ">=": ">", "+": "-", "-": "+", "*": "/", "/": "*",
        "%": "*",
        "&+": "&-", "&-": "&+", "<<": ">>", ">>": "<<", "&": "|", "|": "&", "+=": "-=", "-=": "+=",
    ]

    private func exchange(_ node: InfixOperatorExprSyntax, _ token: String, with other: String) {
        let (left, right) = (node.leftOperand, node.rightOperand)
        // Both forms are written, and texts can only be added.
        let isText = [left, right].contains { $0.is(StringLiteralExprSyntax.self) }
        guard !isText, isOneLine(node) else { return }
        let changed = "\(left.trimmed) \(other) \(right.trimmed)"
        if token.hasSuffix("=") && token.count == 2 && "+-".contains(token.first ?? " ") {
            guard node.parent?.is(CodeBlockItemSyntax.self) == true else { return }
            add("arithmetic", node, "if \(Mutation.isOn) { \(changed) } else { \(Mutation.old) }")
            return
        }
        let kind = ["<", "<=", ">", ">="].contains(token) ? "boundary" : "arithmetic"
        add(kind, node, "(\(Mutation.isOn) ? (\(changed)) : (\(Mutation.old)))")
    }

    // MARK: Calls, statements, results

    private func swapArguments(of node: FunctionCallExprSyntax) {
        let arguments = Array(node.arguments)
        guard node.trailingClosure == nil, isOneLine(node) else { return }
        for (first, second) in zip(arguments, arguments.dropFirst())
        where first.expression.trimmedDescription != second.expression.trimmedDescription {
            let swapped = arguments.map { argument in
                let value = argument == first ? second : argument == second ? first : argument
                let label = argument.label.map { "\($0.text): " } ?? ""
                return label + value.expression.trimmedDescription
            }
            let call = "\(node.calledExpression.trimmed)(\(swapped.joined(separator: ", ")))"
            add("swapped arguments", node, "(\(Mutation.isOn) ? (\(call)) : (\(Mutation.old)))")
        }
    }

    private func drop(_ node: CodeBlockItemSyntax) {
        guard let scope = scopes.last else { return }
        switch node.item {
        case .expr(let expression): drop(expression, in: node, scope)
        case .stmt(let statement):
            if let body = statement.as(DeferStmtSyntax.self)?.body.statements, !body.isEmpty {
                add("dropped defer", body, Self.nothing)
            }
        case .decl: break
        }
    }

    private static let nothing = "if \(Mutation.isOn) {} else { \(Mutation.old) }"

    private func drop(_ expression: ExprSyntax, in node: CodeBlockItemSyntax, _ scope: Scope) {
        var inner = expression
        if let tried = inner.as(TryExprSyntax.self) {
            inner = tried.expression
            if tried.questionOrExclamationMark == nil, isOneLine(inner) {
                add(
                    "widened catch", expression,
                    "if \(Mutation.isOn) { _ = try? \(inner.trimmed) } else { \(Mutation.old) }")
            }
        }
        let assigns = inner.as(InfixOperatorExprSyntax.self)?.operator.is(AssignmentExprSyntax.self)
        let isCall = inner.is(FunctionCallExprSyntax.self)
        // What an initializer assigns is needed; a call that never returns too.
        guard isCall || assigns == true && !scope.isInitializer, !Self.neverReturns(inner) else {
            return
        }
        // The value of a closure or a body that is one expression.
        let isValue = (node.parent?.as(CodeBlockItemListSyntax.self)?.count ?? 0) == 1
        guard !isValue || assigns == true || scope.result == nil else { return }
        add("dropped statement", expression, Self.nothing)
    }

    private static func neverReturns(_ expression: ExprSyntax) -> Bool {
        let name = expression.as(FunctionCallExprSyntax.self)?.calledExpression.trimmedDescription
        return ["fatalError", "preconditionFailure", "exit", "_exit", "abort"].contains(name)
    }

    private func replaceResult(_ value: ExprSyntax) {
        guard let type = scopes.last?.result, !value.is(IfExprSyntax.self),
            !value.is(SwitchExprSyntax.self)
        else { return }
        for constant in Self.constants(of: type) where constant != value.trimmedDescription {
            add("constant result", value, "(\(Mutation.isOn) ? \(constant) : (\(Mutation.old)))")
        }
    }

    /// What a function of this type may return instead.
    private static func constants(of type: TypeSyntax) -> [String] {
        if type.is(OptionalTypeSyntax.self) { return ["nil"] }
        if type.is(ArrayTypeSyntax.self) { return ["[]"] }
        if type.is(DictionaryTypeSyntax.self) { return ["[:]"] }
        switch type.trimmedDescription {
        case "Bool": return ["true", "false"]
        case "String": return ["\"\""]
        case "Int", "Int32", "Int64", "UInt", "UInt8", "UInt16", "UInt32", "UInt64": return ["0"]
        default: return []
        }
    }

    // MARK: Recording

    private func isOneLine(_ node: some SyntaxProtocol) -> Bool {
        !node.trimmedDescription.contains("\n")
    }

    /// Records the replacement of `node` by `text`, in which ``Mutation/isOn`` stands for the
    /// switch and ``Mutation/old`` for the node.
    private func add(_ kind: String, _ node: some SyntaxProtocol, _ text: String) {
        guard let scope = scopes.last else { return }
        let start = node.positionAfterSkippingLeadingTrivia
        let end = node.endPositionBeforeTrailingTrivia
        func line(_ position: AbsolutePosition) -> Int { places.location(for: position).line }
        found.append(
            Mutation(
                file: file, kind: kind, start: start.utf8Offset, end: end.utf8Offset, text: text,
                firstLine: line(start), lastLine: line(end),
                scope: [
                    line(scope.node.positionAfterSkippingLeadingTrivia),
                    line(scope.node.endPositionBeforeTrailingTrivia),
                ]))
    }
}
