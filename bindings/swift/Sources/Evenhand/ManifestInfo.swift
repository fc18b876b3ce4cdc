/// Which manifest is in use.
public struct ManifestInfo: Sendable, Hashable {
    public let generation: UInt64
    public let version: UInt64
    public let environment: String

    init(_ snapshot: Snapshot) {
        generation = snapshot.generation
        version = snapshot.version
        environment = snapshot.environment
    }
}

/// For whom a manifest is made.
public enum Audience: String, Sendable {
    case server
    case client
}
