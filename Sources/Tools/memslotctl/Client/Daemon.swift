import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotService

/// A daemon that is connected to: asked by method, its refusals told to a person.
struct Daemon: ~Copyable {
    /// What a request brought.
    struct Answer {
        let result: JSONValue
        let descriptors: PassedDescriptors
    }

    private var connection: ClientConnection

    init(_ connection: consuming ClientConnection) { self.connection = connection }

    /// Asks, and waits for the answer.
    ///
    /// - Parameters:
    ///   - file: the array that is sent, to tell where in it a fault is.
    ///   - descriptors: sent with the request.
    ///   - members: writes the members of `params` after the VM's name.
    /// - Throws: the exit status, once the refusal was told.
    mutating func ask(
        _ method: Method, vm: String? = nil, about file: SubmittedFile? = nil,
        descriptors: [Int32] = [], _ members: (inout JSONWriter) -> Void = { _ in }
    ) throws(ExitCode) -> Answer {
        var writer = JSONWriter()
        writer.beginObject()
        if let vm {
            writer.key("vm")
            writer.string(vm)
        }
        members(&writer)
        writer.endObject()
        let received: ClientConnection.Received
        do throws(TargetLost) {
            received = try connection.call(
                method.rawValue, params: writer.finish(), descriptors: descriptors)
        } catch {
            throw Self.told(error)
        }
        let value = received.value
        if let result = value?["result"] {
            return Answer(result: result, descriptors: received.descriptors)
        }
        guard let error = value?["error"] else {
            throw Self.told(TargetLost("the server answered with something that is no response"))
        }
        Refusal(error).lines(about: file).forEach(Terminal.complain)
        throw .failure
    }

    /// Lets go of what the daemon sent unasked before its last answer.
    mutating func forgetNotifications() { connection.forgetNotifications() }

    /// Waits for what the daemon sends unasked; `nil` once it has closed.
    mutating func nextNotification() throws(ExitCode) -> JSONValue? {
        do throws(TargetLost) { return try connection.nextNotification()?.value } catch {
            throw Self.told(error)
        }
    }

    private static func told(_ lost: TargetLost) -> ExitCode {
        Terminal.complain(lost.message)
        return .failure
    }
}
