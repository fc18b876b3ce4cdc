/// An attribute that a flag can ask for.
struct Asked: Sendable {
    let index: Int32
    let name: String
    /// Bytes of the name: a text of as many bytes that Swift calls equal to one of ASCII is that text.
    private let count: Int
    private let ascii: Bool

    init(index: Int, name: String) {
        self.index = Int32(truncatingIfNeeded: index)
        self.name = name
        count = name.utf8.count
        ascii = name.utf8.allSatisfy { $0 < 0x80 }
    }

    @inline(__always)
    func isNamed(_ other: String) -> Bool {
        guard other.utf8.count == count else { return false }
        return ascii ? other == name : sameBytes(other, name)
    }
}
