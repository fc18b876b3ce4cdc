// Files of spools, sticky assignments and manifests, for C++17 (POSIX). They hold unit ids: what is made here is its owner's alone.
#ifndef EVENHAND_FILES_HPP
#define EVENHAND_FILES_HPP

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace evenhand {

// The whole of a file, such as a manifest to begin with or a spool; none where there is no file. Throws std::system_error when it can't be read.
inline std::optional<std::string> read_file(const std::filesystem::path &path) {
  std::error_code missing;
  if (!std::filesystem::exists(path, missing) && !missing) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in) throw std::system_error(std::make_error_code(std::errc::io_error), path.string() + " can't be read");
  return bytes;
}

namespace detail {

// A file to write to, made with mode 0600 where it is not there. Throws std::system_error.
class OutFile {
 public:
  OutFile(const std::filesystem::path &path, int flags) : path_(path), file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600)) {
    if (file_ < 0) fail("can't be opened for writing");
  }
  OutFile(const OutFile &) = delete;
  OutFile &operator=(const OutFile &) = delete;
  ~OutFile() {
    if (file_ >= 0) ::close(file_);
  }
  // In one go, as far as the system does so.
  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("can't be written");
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  // Some systems tell only now what went wrong.
  void close() {
    const int file = file_;
    file_ = -1;
    if (::close(file) != 0) fail("can't be written");
  }

 private:
  [[noreturn]] void fail(const char *what) const { throw std::system_error(errno, std::generic_category(), path_.string() + " " + what); }

  std::filesystem::path path_;
  int file_;
};

}  // namespace detail

// Replaces a file as a whole: a process killed meanwhile leaves the old one. The new one has mode 0600. Throws std::system_error when it
// can't be written.
inline void replace_file(const std::filesystem::path &path, std::string_view bytes) {
  std::filesystem::path fresh = path;
  fresh += ".new";
  // Left by a killed process, perhaps with another mode.
  std::filesystem::remove(fresh);
  detail::OutFile out(fresh, O_TRUNC);
  out.write(bytes);
  out.close();
  std::filesystem::rename(fresh, path);
}

}  // namespace evenhand

#endif
