import Foundation

/// Name and version, as events and requests carry them.
let sdk = "evenhand-swift/0.1.0"

#if os(Linux)
private let system = "Linux"
#elseif os(macOS)
private let system = "macOS"
#elseif os(iOS)
private let system = "iOS"
#else
private let system = "other"
#endif

/// What requests say of who asks.
let userAgent = "\(sdk) \(system)/\(ProcessInfo.processInfo.operatingSystemVersion.majorVersion)"
