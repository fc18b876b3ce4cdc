// swift-tools-version:6.0
import PackageDescription

let package = Package(
    name: "Bench",
    dependencies: [.package(name: "Evenhand", path: "../package")],
    targets: [
        .executableTarget(name: "Decide", dependencies: ["Evenhand"]),
        .executableTarget(name: "Cold", dependencies: ["Evenhand"]),
    ],
    swiftLanguageModes: [.v6]
)
