// The file that keeps the last good manifest and undelivered events for the next start (POSIX).
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <evenhand_session.hpp>

namespace shop {

// A lock on a file, which the system takes back when its holder dies.
class FileLock {
 public:
  // Takes the lock, creating the file; not held when somebody living has it. Never waits.
  explicit FileLock(const std::filesystem::path &path) : file_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (file_ < 0) throw std::system_error(errno, std::generic_category(), path.string() + " can't be opened");
    if (flock(file_, LOCK_EX | LOCK_NB) == 0) return;
    const int why = errno;
    release();
    if (why != EWOULDBLOCK) throw std::system_error(why, std::generic_category(), path.string() + " can't be locked");
  }
  FileLock(FileLock &&other) noexcept : file_(std::exchange(other.file_, -1)) {}
  FileLock &operator=(FileLock &&other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~FileLock() { release(); }
  explicit operator bool() const noexcept { return file_ >= 0; }
  void release() noexcept {
    if (file_ >= 0) close(std::exchange(file_, -1));
  }

 private:
  int file_;
};

// Processes and clients may share one path: the first to come has the file itself, each further one a file beside it, and whoever
// starts later takes over the files that nobody living holds.
class SpoolFile {
 public:
  // Throws std::system_error when the folder can't be written.
  explicit SpoolFile(std::filesystem::path base) : base_(std::move(base)), path_(base_), lock_(lock_of(base_)) {
    if (lock_) return;
    const evenhand::Entropy drawn = evenhand::fresh_entropy();
    std::string mark;
    for (std::size_t at = 0; at < 4; at++) {
      mark += "0123456789abcdef"[drawn[at] >> 4];
      mark += "0123456789abcdef"[drawn[at] & 15];
    }
    path_ += "." + std::to_string(getpid()) + "-" + mark;
    lock_ = FileLock(lock_of(path_));
    if (!lock_) throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again), path_.string() + " is locked");
  }
  // Hands on the spools of clients that have ended. A file is removed after `take` returned, so write your own in it.
  void take_over(const std::function<void(const std::string &spool)> &take) const {
    std::vector<std::filesystem::path> all = {base_};
    const std::string begin = base_.filename().string() + ".";
    const auto folder = base_.has_parent_path() ? base_.parent_path() : std::filesystem::path(".");
    for (const auto &entry : std::filesystem::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (name.rfind(begin, 0) == 0 && is_mark(std::string_view(name).substr(begin.size()))) all.push_back(entry.path());
    }
    std::sort(all.begin() + 1, all.end());
    for (const auto &path : all) {
      if (path == path_) {
        if (const auto content = evenhand::read_file(path)) take(*content);
        continue;
      }
      const FileLock lock(lock_of(path));
      if (!lock) continue;
      if (const auto content = evenhand::read_file(path)) take(*content);
      std::filesystem::remove(path);
      if (path != base_) std::filesystem::remove(lock_of(path));
    }
  }
  void write(std::string_view spool) const { evenhand::replace_file(path_, spool); }
  // Gives it up; without events, a file beside the path goes.
  void close(bool empty) {
    std::error_code ignored;  // it is taken over by the next start then
    if (path_ != base_) {
      if (empty) std::filesystem::remove(path_, ignored);
      std::filesystem::remove(lock_of(path_), ignored);
    }
    lock_.release();
  }

 private:
  static std::filesystem::path lock_of(std::filesystem::path path) { return path += ".lock"; }
  static bool is_mark(std::string_view text) {
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos || dash == 0 || text.size() != dash + 9) return false;
    const auto digits = [](std::string_view part, std::string_view of) { return part.find_first_not_of(of) == std::string_view::npos; };
    return digits(text.substr(0, dash), "0123456789") && digits(text.substr(dash + 1), "0123456789abcdef");
  }

  std::filesystem::path base_, path_;
  FileLock lock_;
};

}  // namespace shop
