/// What a caller lends us until we say that we are done: functions and the context for them.
// Sendable: the pointers are constant here; the header says on which threads the functions are
// called, and what the context points to is the caller's to share between them.
struct CallersOwn<Value>: @unchecked Sendable {
    let value: Value

    init(_ value: Value) { self.value = value }
}
