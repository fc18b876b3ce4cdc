// swift-tools-version:6.0
import PackageDescription

// The library lies beside this file, in a package that bindings/swift/install has staged. For Apple platforms it would be an
// XCFramework instead (README.md, "Apple platforms").
let libraries = "\(Context.packageDirectory)/lib"

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
        .target(name: "Evenhand", dependencies: ["EvenhandFFI", "EvenhandNative"]),
    ],
    swiftLanguageModes: [.v6]
)
