// swift-tools-version:6.0
import PackageDescription

// The library lies beside this file, in a package that bindings/swift/install has staged. For Apple platforms it would be an
// XCFramework instead (README.md, "Apple platforms").
let libraries = "\(Context.packageDirectory)/lib"
// For the tests of what is used on Apple platforms: requests by URLSession on Linux too.
let urlSession: [SwiftSetting] = Context.environment["EVENHAND_URLSESSION"] == nil ? [] : [.define("EVENHAND_URLSESSION")]

let package = Package(
    name: "Evenhand",
    platforms: [.macOS(.v12), .iOS(.v15), .tvOS(.v15)],
    products: [.library(name: "Evenhand", targets: ["Evenhand"])],
    targets: [
        .systemLibrary(name: "EvenhandFFI"),
        .target(
            name: "EvenhandNative",
            dependencies: ["EvenhandFFI"],
            linkerSettings: [.unsafeFlags(["-L\(libraries)", "-Xlinker", "-rpath", "-Xlinker", libraries])]
        ),
        .target(name: "Evenhand", dependencies: ["EvenhandFFI", "EvenhandNative"], swiftSettings: urlSession),
    ],
    swiftLanguageModes: [.v6]
)
