/// What a change does to a slot, as a picture shows it.
package enum ChangeMark: String, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// Only in the array after. Drawn `+`.
    case added
    /// Only in the array before. Drawn `-`.
    case removed
    /// At another guest physical address. Drawn `>`, with the address it came from.
    case moved
    /// With other flags. Drawn `~`, with the flags switched.
    case reflagged
    /// Removed and added again under its id. Drawn as `-` and `+`.
    case replaced
    /// As it was. Drawn dim.
    case unchanged

    /// The case's name.
    package var description: String { rawValue }
}
