package import Memslots

/// A backend without a VM: calls succeed, and no page is dirty.
package final class OfflineBackend: MemslotBackend {
    package let capabilities: Capabilities

    /// - Parameter capabilities: the rules; by default those that any host accepts.
    package init(
        _ capabilities: Capabilities = Capabilities(
            addressSpaces: 2, userspaceEnd: UserspaceAddress(0xff_ffff_ffff_f000),
            flags: [.logDirtyPages, .readOnly, .guestMemfd], providesGuestMemfd: true)
    ) { self.capabilities = capabilities }

    package func beginTransaction() {}
    package func apply(_ call: SlotCall) throws(Errno) {}
    package func collectDirtyPages() {}

    package func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        DirtyBitmap(pageCount: capabilities.pageCount(of: slot))
    }
}
