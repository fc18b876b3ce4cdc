import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// The file that keeps the last good manifest and undelivered events for the next start.
///
/// Clients and processes may share one path: the first to come has the file itself, each further one a file beside it, and whoever
/// starts later takes over the files that nobody living holds.
final class SpoolFile {
    private let base: String
    private let path: String
    private var held: File?
    private let writing = NSLock()

    /// - Throws: when the folder can't be written.
    init(_ url: URL) throws {
        base = url.path
        var own = base
        var held = try Self.taken(own)
        if held == nil {
            own = "\(base).\(getpid())-\(String(format: "%08x", UInt32.random(in: 0...UInt32.max)))"
            held = try Self.taken(own)
        }
        guard let held else { throw EvenhandError(code: "spool_failed", message: "\(own).lock is locked by another process") }
        path = own
        self.held = held
    }

    /// The lock beside a spool; nil when somebody living has it.
    private static func taken(_ path: String) throws -> File? {
        let file = try File("\(path).lock", O_CREAT | O_RDWR)
        return try file.lock() ? file : nil
    }

    /// Hands over the spools of clients that have ended. One is removed when `take` has returned: write your own in it.
    func found(_ take: (Data) throws -> Void) throws {
        for path in [base] + (try others()) {
            let own = path == self.path
            let lock = own ? nil : try Self.taken(path)
            guard own || lock != nil else { continue }
            if let content = try content(path) { try take(content) }
            if own { continue }
            unlink(path)
            if path != base { unlink("\(path).lock") }
        }
    }

    private func others() throws -> [String] {
        let url = URL(fileURLWithPath: base)
        let folder = url.deletingLastPathComponent().path
        let begin = url.lastPathComponent + "."
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { name in
            guard name.hasPrefix(begin) else { return false }
            let parts = name.dropFirst(begin.count).split(separator: "-", omittingEmptySubsequences: false)
            return parts.count == 2 && !parts[0].isEmpty && parts[0].allSatisfy { "0123456789".contains($0) }
                && parts[1].count == 8 && parts[1].allSatisfy { "0123456789abcdef".contains($0) }
        }
        return names.sorted().map { folder + "/" + $0 }
    }

    private func content(_ path: String) throws -> Data? {
        do {
            return try File(path, O_RDONLY).read(from: 0)
        } catch let error as FileError where error.number == ENOENT {
            return nil
        }
    }

    /// Replaces the file as a whole: a process killed meanwhile leaves the old one. What `content` gives is asked for when it is this
    /// writing's turn, so that an older content never replaces a newer one.
    func write(_ content: () throws -> Data) throws {
        writing.lock()
        defer { writing.unlock() }
        guard held != nil else { return }
        try File("\(path).new", O_CREAT | O_WRONLY | O_TRUNC).write(content())
        try File.rename("\(path).new", to: path)
    }

    /// Gives it up; without events, a file beside the path goes.
    func close(empty: Bool) {
        writing.lock()
        defer { writing.unlock() }
        if path != base {
            if empty { unlink(path) }
            unlink("\(path).lock")
        }
        held = nil
    }
}
