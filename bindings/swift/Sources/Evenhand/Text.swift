import Foundation

/// A text as its bytes: to Swift two texts are equal when Unicode calls them canonically equivalent (`é` written in two ways, `K` and
/// the sign for kelvin); to the contract only when their bytes are.
struct ExactText: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: Self, right: Self) -> Bool { sameBytes(left.text, right.text) }

    func hash(into hasher: inout Hasher) {
        let done: Void? = text.utf8.withContiguousStorageIfAvailable { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        // Texts bridged from Objective-C.
        if done == nil { Array(text.utf8).withUnsafeBytes { hasher.combine(bytes: $0) } }
    }
}

/// Whether two texts are the same bytes of UTF-8.
func sameBytes(_ left: String, _ right: String) -> Bool {
    let same: Bool?? = left.utf8.withContiguousStorageIfAvailable { left in
        right.utf8.withContiguousStorageIfAvailable { right in
            left.count == right.count && (left.count == 0 || memcmp(left.baseAddress!, right.baseAddress!, left.count) == 0)
        }
    }
    if case .some(.some(let same)) = same { return same }
    return left.utf8.elementsEqual(right.utf8)
}
