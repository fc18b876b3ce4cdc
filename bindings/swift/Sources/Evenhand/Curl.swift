#if os(Linux)
internal import EvenhandFFI
import Foundation

/// The functions of libcurl, loaded once for the process.
struct Curl: @unchecked Sendable {
    let setopt: UnsafeMutableRawPointer
    let getinfo: UnsafeMutableRawPointer
    let easyInit: @convention(c) () -> UnsafeMutableRawPointer?
    let easyCleanup: @convention(c) (UnsafeMutableRawPointer?) -> Void
    let easyError: @convention(c) (Int32) -> UnsafePointer<CChar>?
    let listAppend: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>) -> UnsafeMutableRawPointer?
    let listFree: @convention(c) (UnsafeMutableRawPointer?) -> Void
    let multiInit: @convention(c) () -> UnsafeMutableRawPointer?
    let multiCleanup: @convention(c) (UnsafeMutableRawPointer?) -> Int32
    let multiAdd: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Int32
    let multiRemove: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Int32
    let multiPerform: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<Int32>) -> Int32
    let multiPoll: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, UInt32, Int32, UnsafeMutablePointer<Int32>?) -> Int32
    let multiWakeup: @convention(c) (UnsafeMutableRawPointer?) -> Int32
    let multiRead: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<Int32>) -> UnsafeMutableRawPointer?

    /// Nil where there is none, or one older than 7.68 (of 2020).
    static let loaded: Curl? = Curl()

    private init?() {
        guard let library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL) ?? dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL) else { return nil }
        func found<Function>(_ name: String, as type: Function.Type) -> Function? { dlsym(library, name).map { unsafeBitCast($0, to: type) } }
        guard
            let globalInit = found("curl_global_init", as: (@convention(c) (Int) -> Int32).self),
            let setopt = dlsym(library, "curl_easy_setopt"), let getinfo = dlsym(library, "curl_easy_getinfo"),
            let easyInit = found("curl_easy_init", as: type(of: easyInit)), let easyCleanup = found("curl_easy_cleanup", as: type(of: easyCleanup)),
            let easyError = found("curl_easy_strerror", as: type(of: easyError)), let listAppend = found("curl_slist_append", as: type(of: listAppend)),
            let listFree = found("curl_slist_free_all", as: type(of: listFree)), let multiInit = found("curl_multi_init", as: type(of: multiInit)),
            let multiCleanup = found("curl_multi_cleanup", as: type(of: multiCleanup)), let multiAdd = found("curl_multi_add_handle", as: type(of: multiAdd)),
            let multiRemove = found("curl_multi_remove_handle", as: type(of: multiRemove)),
            let multiPerform = found("curl_multi_perform", as: type(of: multiPerform)), let multiPoll = found("curl_multi_poll", as: type(of: multiPoll)),
            let multiWakeup = found("curl_multi_wakeup", as: type(of: multiWakeup)), let multiRead = found("curl_multi_info_read", as: type(of: multiRead)),
            globalInit(Int(EVENHAND_CURL_GLOBAL_DEFAULT)) == 0
        else { return nil }
        self.setopt = setopt
        self.getinfo = getinfo
        self.easyInit = easyInit
        self.easyCleanup = easyCleanup
        self.easyError = easyError
        self.listAppend = listAppend
        self.listFree = listFree
        self.multiInit = multiInit
        self.multiCleanup = multiCleanup
        self.multiAdd = multiAdd
        self.multiRemove = multiRemove
        self.multiPerform = multiPerform
        self.multiPoll = multiPoll
        self.multiWakeup = multiWakeup
        self.multiRead = multiRead
    }
}
#endif
