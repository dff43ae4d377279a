// An error kind that does not exist.
// error: type 'ErrorKind' has no member 'vmExist'
import MemslotProtocol

#if MISS
    func isTaken(_ error: ProtocolError) -> Bool { error.kind == .vmExist }
#else
    func isTaken(_ error: ProtocolError) -> Bool { error.kind == .vmExists }
#endif
