// What needs no server: a panic, odd texts, a closed client, stores, memory, many tasks at a time.
//     InProcess small|full FIGURES.json [WORD…]      only proofs whose name has one of the words
import Evenhand
import Foundation

let full = CommandLine.arguments[1] == "full"
nonisolated(unsafe) var figures: [String: Double] = [:]
let proofs: [(String, @Sendable () async throws -> String)] = [
    ("a panic inside the library becomes an error, and the process lives", panic),
    ("whatever is wrong, there is a decision and its reason", failOpen),
    ("non-BMP ids, NUL, 4 kB, 65,537 bytes, canonical equivalents", oddTexts),
    ("values of every type", values),
    ("what can't be right is refused by name", refusedOptions),
    ("waiting ends with a manifest, the time, or the task", waiting),
    ("a closed client says so, decides on, and takes no event that nobody would send", closedClient),
    ("changes are heard once, and end with the client", changes),
    ("events that are taken, and those that are not", tracked),
    ("a closed standard error, and times beyond every clock", limits),
    ("sticky stores, overrides", stores),
    ("a client that is let go of ends by itself; spools of the dead are taken over", letGo),
    ("memory stays flat", memory),
    ("eight tasks decide while two update", concurrent),
]
let words = CommandLine.arguments.dropFirst(3)
for (name, prove) in proofs where words.isEmpty || words.contains(where: name.contains) {
    do {
        let detail = try await prove()
        print("  \(name)\(detail.isEmpty ? "" : " (\(detail))")")
    } catch {
        print("FAILED: \(name): \(error)")
        exit(1)
    }
}
try JSONEncoder().encode(figures).write(to: URL(fileURLWithPath: CommandLine.arguments[2]))
