// The key of a slot that may have no id.
// error: value of optional type 'SlotKey?' must be unwrapped to a value of type 'SlotKey'
import Memslots

#if MISS
    func key(of slot: Memslot) -> SlotKey { slot.key }
#else
    func key(of slot: Memslot) -> SlotKey? { slot.key }
#endif
