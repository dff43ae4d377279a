import Testing

/// All tests of the server. They run one after another, because some count descriptors.
@Suite("server", .serialized)
enum ServerTests {}
