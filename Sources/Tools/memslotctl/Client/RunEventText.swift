import MemslotPicture
import MemslotProtocol
import Memslots

/// The events of a `memslotctl run --socket`, in words.
enum RunEventText {
    /// What a `run.transaction` says.
    static func transaction(_ params: JSONValue) -> String {
        let count = params["calls"]?.int ?? 0
        var text = "\(count) slot call\(count == 1 ? "" : "s") by thread "
        text += "\(params["thread"]?.uint64 ?? 0), \(holes(params))"
        guard let commit = params["commit"] else { return text }
        let held = HumanDuration(nanoseconds: commit["heldNanoseconds"]?.uint64 ?? 0)
        return text + "; \(commit["asked"]?.int ?? 0) asked, vCPUs held out for \(held)"
    }

    /// What a `run.ended` says.
    static func end(_ params: JSONValue) -> String {
        var text = "the run has ended with status \(params["status"]?.rawText ?? "?"): "
        text += "\(params["calls"]?.int ?? 0) slot calls in "
        text += "\(params["transactions"]?.int ?? 0) transactions; memory was missing in "
        text += "\(params["transactionsWithHoles"]?.int ?? 0)"
        let inGuest = params["transactionsWithHolesInGuest"]?.int ?? 0
        return text + (inGuest > 0 ? ", in \(inGuest) of them with the guest running" : "")
    }

    private static func holes(_ params: JSONValue) -> String {
        let missing = params["missingBytes"]?.string.flatMap { UInt64($0.dropFirst(2), radix: 16) }
        guard let missing, missing > 0 else { return "no memory missing" }
        let longest = HumanDuration(nanoseconds: params["longestNanoseconds"]?.uint64 ?? 0)
        let guest = params["guestInside"]?.bool == true ? "the guest running" : "the guest out"
        return "\(HumanSize(ByteCount(missing))) missing for \(longest), \(guest)"
    }
}
