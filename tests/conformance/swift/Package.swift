// swift-tools-version:6.0
import PackageDescription

// As a stranger depends on it: by the path of the staged package.
let package = Package(
    name: "Runner",
    dependencies: [.package(name: "Evenhand", path: "../package")],
    targets: [.executableTarget(name: "Runner", dependencies: ["Evenhand"])],
    swiftLanguageModes: [.v6]
)
