import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// A call to the system that failed.
struct FileError: LocalizedError {
    let call: String
    let path: String
    let number: Int32

    init(_ call: String, _ path: String) {
        number = errno
        self.call = call
        self.path = path
    }

    var errorDescription: String? { "\(call) \(path): \(String(cString: strerror(number)))" }
}

/// An open file, closed with the value.
final class File {
    private let descriptor: Int32
    private let path: String

    /// New files are for the user alone.
    init(_ path: String, _ flags: Int32) throws {
        descriptor = open(path, flags | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileError("open", path) }
        self.path = path
    }

    deinit { close(descriptor) }

    var size: Int {
        get throws {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw FileError("stat", path) }
            return Int(status.st_size)
        }
    }

    /// From there to the end.
    func read(from offset: Int) throws -> Data {
        let size = try size
        guard size > offset else { return Data() }
        var data = Data(count: size - offset)
        var got = 0
        while got < data.count {
            let count = data.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress! + got, $0.count - got, off_t(offset + got)) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw FileError("read", path) }
            if count == 0 { break }
            got += count
        }
        return data.prefix(got)
    }

    func write(_ data: Data) throws {
        var done = 0
        while done < data.count {
            let count = data.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress! + done, $0.count - done) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw FileError("write", path) }
            done += count
        }
    }

    /// Takes a lock on the whole file; false when somebody living has it. Never waits. It ends with the value.
    func lock() throws -> Bool {
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
        guard errno == EWOULDBLOCK else { throw FileError("lock", path) }
        return false
    }

    static func rename(_ from: String, to: String) throws {
        guard systemRename(from, to) == 0 else { throw FileError("rename", from) }
    }
}

// Inside the class its own methods hide the system's calls.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int { write(descriptor, bytes, count) }
private func systemRename(_ from: String, _ to: String) -> Int32 { rename(from, to) }
