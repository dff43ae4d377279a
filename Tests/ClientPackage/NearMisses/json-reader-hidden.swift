// The JSON reader, which is no part of the interface.
// error: cannot find
import MemslotProtocol

#if MISS
    func parse(_ text: String) throws -> JSONDocument { try JSONDocument(parsing: text) }
#else
    func message(_ error: ProtocolError) -> String { error.message }
#endif
