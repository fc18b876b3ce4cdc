/// Attributes as the native half reads them: records in one buffer, each a multiple of eight bytes, in native byte order.
///
///     i32 index of the attribute in the snapshot   i32 kind, or the length of a text   payload, padded to eight bytes
///
/// A list is followed by its elements, whose index means nothing.
struct Records {
    private static let no: Int32 = -1
    private static let yes: Int32 = -2
    private static let number: Int32 = -3
    private static let unusable: Int32 = -4
    private static let list: Int32 = -16
    private static let maxTextBytes = 65_536
    private static let maxElements = 1_000
    /// On the stack; what needs more is put on the heap.
    private static let usual = 1_024

    private let start: UnsafeMutableRawPointer
    private let capacity: Int
    private var at = 0
    /// Names of attributes that were there and could not be used.
    private var unusable: [String]?

    private init(_ buffer: UnsafeMutableRawBufferPointer) {
        start = buffer.baseAddress!
        capacity = buffer.count
    }

    /// Hands the records of the attributes asked for to `body`, and tells of those that can't be used.
    @inline(__always)
    static func with<Answer>(
        _ asked: [Asked], of attributes: Attributes, unusable: UnusableCounts, _ body: (UnsafeRawBufferPointer) throws -> Answer
    ) rethrows -> Answer {
        let answer: Answer? = try withUnsafeTemporaryAllocation(byteCount: usual, alignment: 8) { buffer in
            var records = Records(buffer)
            guard records.put(asked, of: attributes) else { return nil }
            if let names = records.unusable { unusable.count(names) }
            return try body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<records.at]))
        }
        if let answer { return answer }
        // Room for everything, used or not: this is rare.
        let room = attributes.pairs.reduce(asked.count * 16) { $0 + size($1.value) }
        return try withUnsafeTemporaryAllocation(byteCount: room, alignment: 8) { buffer in
            var records = Records(buffer)
            let all = records.put(asked, of: attributes)
            precondition(all, "records are larger than reckoned")
            if let names = records.unusable { unusable.count(names) }
            return try body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<records.at]))
        }
    }

    /// Bytes that a value takes at most.
    private static func size(_ value: AttributeValue) -> Int {
        switch value {
        case .string(let text): 16 + min(text.utf8.count, maxTextBytes)
        case .list(let elements): elements.count > maxElements ? 8 : elements.reduce(8) { $0 + size($1) }
        default: 16
        }
    }

    private enum Outcome { case done, useless, full }

    /// False when there was no room.
    private mutating func put(_ asked: [Asked], of attributes: Attributes) -> Bool {
        for attribute in asked {
            // From the end: of a name that stands twice the last counts.
            var pair = attributes.pairs.count
            while pair > 0 {
                pair -= 1
                guard attribute.isNamed(attributes.pairs[pair].name) else { continue }
                let begun = at
                switch put(attribute.index, attributes.pairs[pair].value, inList: false) {
                case .done: break
                case .full: return false
                case .useless:
                    at = begun
                    guard head(attribute.index, Self.unusable) else { return false }
                    unusable = (unusable ?? []) + [attribute.name]
                }
                break
            }
        }
        return true
    }

    @inline(__always)
    private mutating func head(_ index: Int32, _ kind: Int32) -> Bool {
        guard at + 8 <= capacity else { return false }
        start.storeBytes(of: index, toByteOffset: at, as: Int32.self)
        start.storeBytes(of: kind, toByteOffset: at + 4, as: Int32.self)
        at += 8
        return true
    }

    private mutating func put(_ index: Int32, _ value: AttributeValue, inList: Bool) -> Outcome {
        switch value {
        case .string(let text): return put(index, text)
        case .double(let number): return put(index, number)
        case .int(let number): return put(index, Double(number))
        case .bool(let bool): return head(index, bool ? Self.yes : Self.no) ? .done : .full
        // In a list, nothing and a list make the whole list unusable, like anything else that is.
        case .missing: return inList ? .useless : .done
        case .list(let elements): return inList ? .useless : put(index, elements)
        case .unusable: return .useless
        }
    }

    private mutating func put(_ index: Int32, _ number: Double) -> Outcome {
        guard number.isFinite else { return .useless }
        guard at + 16 <= capacity, head(index, Self.number) else { return .full }
        start.storeBytes(of: number, toByteOffset: at, as: Double.self)
        at += 8
        return .done
    }

    private mutating func put(_ index: Int32, _ text: String) -> Outcome {
        let count = text.utf8.count
        guard count <= Self.maxTextBytes else { return .useless }
        let padded = (count + 7) & ~7
        guard at + 8 + padded <= capacity, head(index, Int32(truncatingIfNeeded: count)) else { return .full }
        let place = start + at
        let copied: Void? = text.utf8.withContiguousStorageIfAvailable { bytes in
            if let from = bytes.baseAddress { place.copyMemory(from: from, byteCount: count) }
        }
        if copied == nil { UnsafeMutableRawBufferPointer(start: place, count: count).copyBytes(from: text.utf8) }
        at += padded
        return .done
    }

    private mutating func put(_ index: Int32, _ elements: [AttributeValue]) -> Outcome {
        guard elements.count <= Self.maxElements else { return .useless }
        guard head(index, Self.list - Int32(truncatingIfNeeded: elements.count)) else { return .full }
        for element in elements {
            let outcome = put(0, element, inList: true)
            guard outcome == .done else { return outcome }
        }
        return .done
    }
}

/// How often attributes were there but unusable, by name.
final class UnusableCounts: Sendable {
    private static let maxNames = 1_000
    private let counts = Guarded<[String: Int]>([:])

    func count(_ names: [String]) {
        counts.withLock { counts in
            for name in names where counts[name] != nil || counts.count < Self.maxNames { counts[name, default: 0] += 1 }
        }
    }

    var all: [String: Int] { counts.withLock { $0 } }
}
