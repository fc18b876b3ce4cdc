// Requests to an Evenhand server, several at a time in one thread, by libcurl's multi interface.
#pragma once

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <evenhand_session.hpp>

namespace shop {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// One server, asked with one key. Only `wake` may be called by other threads.
class Http {
 public:
  // The answer, or none and what went wrong.
  using Answered = std::function<void(const evenhand::Answer *answer, const std::string &error)>;
  struct Stream {
    std::function<void(std::uint16_t status, const std::optional<std::string> &retry_after)> answered;
    std::function<void(std::string_view bytes)> heard;
    // The end, once; what went wrong, if anything.
    std::function<void(const std::string &error)> ended;
  };

  // Throws std::invalid_argument for an address or a key that can't be right.
  Http(std::string url, std::string key, std::string user_agent, milliseconds timeout)
      : url_(std::move(url)), key_(std::move(key)), user_agent_(std::move(user_agent)), timeout_(timeout) {
    if (url_.rfind("http://", 0) != 0 && url_.rfind("https://", 0) != 0) {
      throw std::invalid_argument("`url` is \"" + url_ + "\": give the server's address, such as https://flags.example.com");
    }
    while (!url_.empty() && url_.back() == '/') url_.pop_back();
    const auto printable = [](char c) { return c > ' ' && c < '\x7f'; };
    if (key_.empty() || !std::all_of(key_.begin(), key_.end(), printable)) {
      throw std::invalid_argument("`key` must be the environment's server or client key, printable ASCII without blanks");
    }
    static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
    multi_.reset(global == CURLE_OK ? curl_multi_init() : nullptr);
    if (!multi_) throw std::runtime_error("libcurl can't be initialised");
  }
  Http(const Http &) = delete;
  Http &operator=(const Http &) = delete;
  ~Http() { cancel(); }

  // The key as a part of a path.
  std::string key_in_path() const {
    const std::unique_ptr<char, void (*)(void *)> escaped(curl_easy_escape(nullptr, key_.c_str(), static_cast<int>(key_.size())), curl_free);
    if (!escaped) throw std::bad_alloc();
    return escaped.get();
  }
  void get(const std::string &path, const std::vector<std::string> &headers, Answered answered) {
    start(path, headers).answered = std::move(answered);
  }
  void post(const std::string &path, const std::vector<std::string> &headers, std::string_view body, Answered answered) {
    Request &request = start(path, headers);
    request.answered = std::move(answered);
    request.sent = std::string(body);
    set(request, CURLOPT_POSTFIELDS, request.sent.data());
    set(request, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.sent.size()));
  }
  void stream(const std::string &path, const std::vector<std::string> &headers, milliseconds idle, Stream stream) {
    Request &request = start(path, headers);
    request.stream.emplace(std::move(stream));
    request.idle = idle;
    // It ends when it is silent, not after a time.
    set(request, CURLOPT_TIMEOUT_MS, 0L);
    set(request, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(timeout_.count()));
  }
  // Waits until something happens, at most so long, and calls back.
  void poll(milliseconds wait) {
    for (const auto &request : requests_) {
      if (request->stream) wait = std::min(wait, std::chrono::ceil<milliseconds>(request->heard + request->idle - Clock::now()));
    }
    const auto bounded = std::clamp<std::int64_t>(wait.count(), 0, 60'000);
    check(curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(bounded), nullptr));
    int running = 0;
    check(curl_multi_perform(multi_.get(), &running));
    int left = 0;
    while (CURLMsg *message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg == CURLMSG_DONE) finish(message->easy_handle, message->data.result);
    }
    const auto silent = [](const auto &request) { return request->stream && Clock::now() - request->heard >= request->idle; };
    for (auto found = requests_.begin(); (found = std::find_if(requests_.begin(), requests_.end(), silent)) != requests_.end();) {
      (*found)->why = "nothing came for " + std::to_string((*found)->idle.count()) + " ms";
      finish((*found)->easy.get(), CURLE_OPERATION_TIMEDOUT);
    }
  }
  // Ends a `poll`, or the next one. Any thread.
  void wake() noexcept { curl_multi_wakeup(multi_.get()); }
  // Drops all requests; nobody is called back.
  void cancel() {
    for (const auto &request : requests_) curl_multi_remove_handle(multi_.get(), request->easy.get());
    requests_.clear();
  }

 private:
  // No manifest and no id list is larger; more than this is no answer of an Evenhand server.
  static constexpr std::size_t kMaxBody = 256u * 1024 * 1024;

  struct Request {
    std::unique_ptr<CURL, void (*)(CURL *)> easy{curl_easy_init(), curl_easy_cleanup};
    std::unique_ptr<curl_slist, void (*)(curl_slist *)> headers{nullptr, curl_slist_free_all};
    std::string sent;
    evenhand::Answer answer;
    std::string why;
    Answered answered;
    std::optional<Stream> stream;
    bool began = false;
    milliseconds idle{0};
    Clock::time_point heard = Clock::now();
    char error[CURL_ERROR_SIZE] = "";
  };

  static void check(CURLMcode code) {
    if (code != CURLM_OK) throw std::runtime_error(std::string("libcurl: ") + curl_multi_strerror(code));
  }
  template <typename Setting>
  static void set(Request &request, CURLoption option, Setting setting) {
    const CURLcode code = curl_easy_setopt(request.easy.get(), option, setting);
    if (code != CURLE_OK) throw std::runtime_error(std::string("libcurl: ") + curl_easy_strerror(code));
  }
  static void add(Request &request, const std::string &header) {
    curl_slist *all = curl_slist_append(request.headers.get(), header.c_str());
    if (all == nullptr) throw std::bad_alloc();
    (void)request.headers.release();
    request.headers.reset(all);
  }

  Request &start(const std::string &path, const std::vector<std::string> &headers) {
    auto owned = std::make_unique<Request>();
    Request &request = *owned;
    if (!request.easy) throw std::bad_alloc();
    for (const std::string &header : headers) add(request, header);
    add(request, "Authorization: Bearer " + key_);
    add(request, "Expect:");  // no round trip before a body
    set(request, CURLOPT_URL, (url_ + path).c_str());
    set(request, CURLOPT_HTTPHEADER, request.headers.get());
    set(request, CURLOPT_USERAGENT, user_agent_.c_str());
    set(request, CURLOPT_ACCEPT_ENCODING, "");
    set(request, CURLOPT_NOSIGNAL, 1L);
    set(request, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_.count()));
    set(request, CURLOPT_ERRORBUFFER, request.error);
    set(request, CURLOPT_WRITEFUNCTION, &Http::on_body);
    set(request, CURLOPT_WRITEDATA, &request);
    set(request, CURLOPT_HEADERFUNCTION, &Http::on_header);
    set(request, CURLOPT_HEADERDATA, &request);
    requests_.push_back(std::move(owned));
    check(curl_multi_add_handle(multi_.get(), request.easy.get()));
    return request;
  }

  void finish(CURL *easy, CURLcode result) {
    const auto found = std::find_if(requests_.begin(), requests_.end(), [&](const auto &request) { return request->easy.get() == easy; });
    if (found == requests_.end()) return;
    curl_multi_remove_handle(multi_.get(), easy);
    const std::unique_ptr<Request> request = std::move(*found);
    requests_.erase(found);
    std::string why = request->why;
    if (why.empty() && result != CURLE_OK) why = request->error[0] != '\0' ? request->error : curl_easy_strerror(result);
    if (request->stream) request->stream->ended(why);
    else request->answered(why.empty() ? &request->answer : nullptr, why);
  }

  // Called from C: nothing is thrown through it.
  static std::size_t on_body(char *data, std::size_t size, std::size_t count, void *user) noexcept {
    auto &request = *static_cast<Request *>(user);
    const std::size_t len = size * count;
    try {
      request.heard = Clock::now();
      if (request.stream) {
        request.stream->heard(std::string_view(data, len));
      } else if (request.answer.body.size() + len > kMaxBody) {
        request.why = "the answer has more than " + std::to_string(kMaxBody) + " bytes";
        return 0;
      } else {
        request.answer.body.append(data, len);
      }
      return len;
    } catch (...) {
      return 0;
    }
  }
  static std::size_t on_header(char *data, std::size_t size, std::size_t count, void *user) noexcept {
    auto &request = *static_cast<Request *>(user);
    const std::size_t len = size * count;
    try {
      header(request, std::string_view(data, len));
      return len;
    } catch (...) {
      return 0;
    }
  }
  static void header(Request &request, std::string_view line) {
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
    if (line.rfind("HTTP/", 0) == 0) {
      request.answer.etag.reset();
      request.answer.retry_after.reset();
      return;
    }
    if (line.empty()) {
      long status = 0;
      curl_easy_getinfo(request.easy.get(), CURLINFO_RESPONSE_CODE, &status);
      request.answer.status = static_cast<std::uint16_t>(status);
      request.heard = Clock::now();
      // Not of a 100 Continue.
      if (request.stream && status >= 200 && !std::exchange(request.began, true)) request.stream->answered(request.answer.status, request.answer.retry_after);
      return;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    if (name == "etag") request.answer.etag = std::string(value);
    if (name == "retry-after") request.answer.retry_after = std::string(value);
  }

  std::string url_, key_, user_agent_;
  milliseconds timeout_;
  std::unique_ptr<CURLM, CURLMcode (*)(CURLM *)> multi_{nullptr, curl_multi_cleanup};
  std::vector<std::unique_ptr<Request>> requests_;
};

}  // namespace shop
