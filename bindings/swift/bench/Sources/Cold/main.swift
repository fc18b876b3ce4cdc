// A process that has just begun: it loads the package, begins with a manifest, and makes its first decision. Says when that was done, on the
// monotonic clock: Cold MANIFEST
import Evenhand
import Foundation

var options = ClientOptions()
options.stream = false
options.logger = SilentLogger()
options.bootstrap = .file(URL(fileURLWithPath: CommandLine.arguments[1]))
let client = try Client(url: "http://127.0.0.1:9", key: "k", options: options)
let decision = client.decide("experiment_0000", ["id": "u-1", "country": "US", "device": "mobile", "app_version": "4.1.0"])
var time = timespec()
clock_gettime(CLOCK_MONOTONIC, &time)
guard decision.variation != nil else { fatalError("no decision: \(decision)") }
FileHandle.standardOutput.write(Data("\(Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))\n".utf8))
// What the end of a client costs is not measured.
_exit(0)
