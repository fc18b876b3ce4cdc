internal import EvenhandNative
import Foundation

/// What is thrown where something can be mended: at construction, by a manifest handed in, by an explanation. Decisions throw nothing.
public struct EvenhandError: Error, Sendable, Hashable, LocalizedError, CustomStringConvertible {
    /// A stable name for programs. Of a refused manifest or list `not_readable`, `unsigned`, `unknown_key`, `wrong_signature`, `older`,
    /// `other_environment`, `bad_manifest`, `bad_list`, … (docs/contract/manifest.md); else `invalid`, `no_manifest` or `fault`.
    public let code: String
    /// What, where, and how to mend it.
    public let message: String

    public var description: String { "\(message) (\(code))" }
    public var errorDescription: String? { message }

    init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    /// An error of the native half, or of anything else.
    init(_ error: any Error) {
        switch error {
        case let error as EvenhandError: self = error
        case NativeError.Refused(let code, let detail): self.init(code: code, message: detail)
        case NativeError.Invalid(let detail): self.init(code: "invalid", message: detail)
        case NativeError.Fault(let detail):
            self.init(code: "fault", message: "a fault inside the library: \(detail); please report it with what stands on standard error")
        default: self.init(code: "fault", message: error.localizedDescription)
        }
    }
}

/// Runs a call into the native half; its errors come in the form of this package.
func native<Answer>(_ call: () throws -> Answer) throws(EvenhandError) -> Answer {
    do {
        return try call()
    } catch {
        throw EvenhandError(error)
    }
}
