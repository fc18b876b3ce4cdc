import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Where sticky assignments are kept: what a unit was given stays with it, whatever weights and targeting become. Asked before a
/// decision and told after one, by any thread, so be quick. What a store throws is logged; the decision is then made without its records.
public protocol StickyStore: Sendable {
    /// All records of a unit id.
    func load(unit: String) throws -> [StickyRecord]
    /// Keeps a record, replacing one of the same unit and experiment.
    func save(_ record: StickyRecord) throws
}

/// Records by unit and experiment.
private typealias UnitRecords = [ExactText: StickyRecord]

/// Records in memory, of the units seen last.
public final class MemoryStickyStore: StickyStore {
    private struct Unit {
        var records: UnitRecords = [:]
        var seen: UInt64 = 0
    }

    private struct State {
        var units: [ExactText: Unit] = [:]
        /// When each unit was last seen, the oldest first; entries that a unit has left behind are skipped.
        var order: [(unit: ExactText, seen: UInt64)] = []
        var first = 0
        var clock: UInt64 = 0
    }

    private let capacity: Int
    private let state = Guarded(State())

    /// - Parameter capacity: how many units are remembered, at least 1.
    public init(capacity: Int = 100_000) { self.capacity = max(1, capacity) }

    public func load(unit: String) -> [StickyRecord] {
        let key = ExactText(unit)
        return state.withLock { state in
            guard let found = state.units[key] else { return [] }
            touch(key, &state)
            return Array(found.records.values)
        }
    }

    public func save(_ record: StickyRecord) {
        let key = ExactText(record.unit)
        state.withLock { state in
            state.units[key, default: Unit()].records[ExactText(record.experiment)] = record
            touch(key, &state)
            while state.units.count > capacity {
                let oldest = state.order[state.first]
                state.first += 1
                if state.units[oldest.unit]?.seen == oldest.seen { state.units[oldest.unit] = nil }
            }
        }
    }

    private func touch(_ key: ExactText, _ state: inout State) {
        state.clock += 1
        state.units[key]?.seen = state.clock
        state.order.append((key, state.clock))
        // What was left behind is cleared away when it is the greater part.
        if state.order.count > 2 * state.units.count + 64 {
            state.order = state.order[state.first...].filter { state.units[$0.unit]?.seen == $0.seen }
            state.first = 0
        }
    }
}

/// Records in a file, one JSON object a line, which processes of one machine may share: lines are only ever appended, and those
/// of others are seen within a second. It grows by about 120 bytes for each assignment, and memory holds all of it.
public final class FileStickyStore: StickyStore {
    private struct State {
        var units: [ExactText: UnitRecords] = [:]
        var read = 0
        var looked: UInt64 = 0

        mutating func keep(_ record: StickyRecord) { units[ExactText(record.unit), default: [:]][ExactText(record.experiment)] = record }
    }

    private static let lookEveryNs: UInt64 = 1_000_000_000
    private let path: String
    private let state = Guarded(State())

    /// - Throws: when the file can't be opened.
    public init(_ url: URL) throws {
        path = url.path
        _ = try File(path, O_CREAT | O_WRONLY | O_APPEND)
        try state.withLock { try look(&$0) }
    }

    public func load(unit: String) throws -> [StickyRecord] {
        try state.withLock { state in
            if DispatchTime.now().uptimeNanoseconds - state.looked > Self.lookEveryNs { try look(&state) }
            return state.units[ExactText(unit)].map { Array($0.values) } ?? []
        }
    }

    public func save(_ record: StickyRecord) throws {
        // A line feed before as well: a line that was cut when a process was killed must not take this one along.
        let line = Data("\n".utf8) + (try JSONEncoder().encode(record)) + Data("\n".utf8)
        try state.withLock { state in
            try File(path, O_CREAT | O_WRONLY | O_APPEND).write(line)
            state.keep(record)
        }
    }

    /// Reads the whole lines that were appended since the last look.
    private func look(_ state: inout State) throws {
        state.looked = DispatchTime.now().uptimeNanoseconds
        let file = try File(path, O_RDONLY)
        let size = try file.size
        // Somebody has emptied it: begin again.
        if size < state.read {
            state.units = [:]
            state.read = 0
        }
        let bytes = try file.read(from: state.read)
        guard let end = bytes.lastIndex(of: 0x0a) else { return }
        let whole = bytes[bytes.startIndex...end]
        state.read += whole.count
        let decoder = JSONDecoder()
        for line in whole.split(separator: 0x0a) {
            // One that can't be read was cut when a process was killed.
            if let record = try? decoder.decode(StickyRecord.self, from: Data(line)) { state.keep(record) }
        }
    }
}
