import Testing

/// All tests of the server: one after the other, for they count the process's descriptors.
@Suite("server", .serialized)
enum ServerTests {}
