import Foundation

#if canImport(os)
import os
#endif

/// How much a message matters.
public enum LogLevel: String, Sendable, Comparable, CaseIterable {
    /// For whoever looks closely.
    case info
    /// Something was put off, or lost and counted.
    case warn
    /// Somebody has to do something.
    case error

    public static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// What a client tells.
public struct LogEntry: Sendable {
    public let level: LogLevel
    /// The stable name of what happened (docs/contract/session.md, "Diagnostics").
    public let code: String
    /// What, where, and how to mend it.
    public let message: String
    /// How often it happened in a row.
    public let times: Int

    public init(level: LogLevel, code: String, message: String, times: Int = 1) {
        self.level = level
        self.code = code
        self.message = message
        self.times = times
    }
}

/// Where a client tells what happens to it. Called from any thread; be quick.
public protocol ClientLogger: Sendable {
    func log(_ entry: LogEntry)
}

/// Warnings and errors in the system's log (subsystem `dev.evenhand`) where there is one, else on standard error.
public struct DefaultLogger: ClientLogger {
    public init() {}

    public func log(_ entry: LogEntry) {
        guard entry.level >= .warn else { return }
        let text = "\(entry.message)\(entry.times > 1 ? " (\(entry.times) times)" : "") (\(entry.code))"
        #if canImport(os)
        let log = os.Logger(subsystem: "dev.evenhand", category: "client")
        if entry.level == .error { log.error("\(text, privacy: .public)") } else { log.warning("\(text, privacy: .public)") }
        #else
        // Not `write(_:)`, which ends the process where standard error is closed.
        try? FileHandle.standardError.write(contentsOf: Data("evenhand: \(text)\n".utf8))
        #endif
    }
}

/// Tells nobody.
public struct SilentLogger: ClientLogger {
    public init() {}
    public func log(_ entry: LogEntry) {}
}

extension ClientLogger {
    func tell(_ level: LogLevel, _ code: String, _ message: String, times: Int = 1) {
        log(LogEntry(level: level, code: code, message: message, times: times))
    }
}

/// What an error says. A system's has its own number, which `localizedDescription` often leaves out.
func message(_ error: any Error) -> String {
    if let error = error as? EvenhandError { return error.message }
    let system = error as NSError
    let text = error.localizedDescription
    return text.contains(String(system.code)) ? text : "\(text) (\(system.domain) \(system.code))"
}
