// swift-tools-version:6.0
import PackageDescription

// As a stranger depends on it: by the path of the staged package. `Readme…` are what its README shows, written by readme_snippets.py.
let package = Package(
    name: "Proofs",
    dependencies: [.package(name: "Evenhand", path: "../package")],
    targets: [
        .executableTarget(name: "InProcess", dependencies: ["Evenhand"]),
        .executableTarget(name: "Drive", dependencies: ["Evenhand"]),
        .executableTarget(name: "ReadmeClient", dependencies: ["Evenhand"]),
        .executableTarget(name: "ReadmeContext", dependencies: ["Evenhand"]),
        .executableTarget(name: "ReadmeEngine", dependencies: ["Evenhand"]),
    ],
    swiftLanguageModes: [.v6]
)
