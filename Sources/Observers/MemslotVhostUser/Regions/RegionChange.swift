public import Memslots

/// What a back end's table becomes: which regions stay, go and come.
///
/// A region stays exactly if every page of it keeps its file and offset. What the others and the
/// additions leave to be covered is added in the fewest regions.
public struct RegionChange: Hashable, Sendable {
    /// The regions that stay as they are, ascending by guest address.
    public private(set) var kept: [VhostUserRegion] = []
    /// The regions of which nothing is left, and whose addresses nothing else gets.
    public private(set) var gone: [VhostUserRegion] = []
    /// The regions that lose a page but not all, or whose addresses get other memory.
    public private(set) var cut: [VhostUserRegion] = []
    /// The regions that are added.
    public private(set) var added: [VhostUserRegion] = []

    /// The table that a back end begins with.
    public static func initialTable(of slots: [Memslot]) -> [VhostUserRegion] {
        RegionChange(from: [], to: slots).added
    }

    /// Compares a table with the slots that the back end is to see.
    ///
    /// - Parameters:
    ///   - present: the regions that the back end has, ascending by guest address.
    ///   - slots: slots of one address space that do not overlap; each has its `memory`.
    ///     In any order.
    ///   - limit: how many regions the back end has room for. If there would be more, because cuts
    ///     and additions have left many small ones, adjacent regions become one, and count as cut.
    public init(from present: [VhostUserRegion], to slots: [Memslot], limit: Int = .max) {
        let wanted = Self.runs(of: slots)
        self.init(from: present, to: wanted, merging: false)
        if kept.count + added.count > limit {
            self = RegionChange(from: present, to: wanted, merging: true)
        }
    }

    /// - Parameter merging: whether a region stays only if it is all of a run.
    private init(from present: [VhostUserRegion], to wanted: [VhostUserRegion], merging: Bool) {
        var broken: [VhostUserRegion] = []
        for region in present {
            let start = region.guestRange.lowerBound
            let first = wanted.partitioningIndex { $0.guestRange.upperBound > start }
            if let run = wanted[first...].first, merging ? run == region : Self.holds(run, region) {
                kept.append(region)
            } else {
                broken.append(region)
            }
        }
        for run in wanted { added += Self.rest(of: run, without: kept) }
        for region in broken {
            let isFree = Self.rest(of: region, without: added) == [region]
            if isFree { gone.append(region) } else { cut.append(region) }
        }
    }

    /// Whether nothing is sent.
    public var isEmpty: Bool { gone.isEmpty && cut.isEmpty && added.isEmpty }
    /// Whether memory is added and nothing else changes.
    public var isAdditionAlone: Bool { gone.isEmpty && cut.isEmpty }
    /// The regions after the change, ascending by guest address.
    public var table: [VhostUserRegion] {
        (kept + added).sorted { $0.guestAddress < $1.guestAddress }
    }

    /// The longest runs of guest memory behind which one file continues.
    private static func runs(of slots: [Memslot]) -> [VhostUserRegion] {
        var runs: [VhostUserRegion] = []
        for slot in slots.sorted(by: { $0.guestPhysicalAddress < $1.guestPhysicalAddress }) {
            guard let memory = slot.memory else { continue }
            runs.extend(
                by: VhostUserRegion(
                    guestAddress: slot.guestPhysicalAddress, size: slot.size,
                    object: memory.object, fileOffset: memory.offset))
        }
        return runs
    }

    /// Whether all pages of `region` are those of `run`.
    private static func holds(_ run: VhostUserRegion, _ region: VhostUserRegion) -> Bool {
        run.guestRange.lowerBound <= region.guestRange.lowerBound
            && run.guestRange.upperBound >= region.guestRange.upperBound
            && run.part(region.guestRange) == region
    }

    /// The parts of `run` that no region of `others`, which is ascending, covers.
    private static func rest(
        of run: VhostUserRegion, without others: [VhostUserRegion]
    ) -> [VhostUserRegion] {
        var rest: [VhostUserRegion] = []
        var start = run.guestRange.lowerBound
        let first = others.partitioningIndex { $0.guestRange.upperBound > start }
        for region in others[first...] {
            guard region.guestRange.lowerBound < run.guestRange.upperBound else { break }
            if region.guestRange.lowerBound > start {
                rest.append(run.part(start..<region.guestRange.lowerBound))
            }
            start = region.guestRange.upperBound
        }
        if start < run.guestRange.upperBound {
            rest.append(run.part(start..<run.guestRange.upperBound))
        }
        return rest
    }
}
