// Where sticky assignments are kept, for C++17: what a unit was given stays with it, whatever weights and targeting become.
#ifndef EVENHAND_STICKY_HPP
#define EVENHAND_STICKY_HPP

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "evenhand.hpp"
#include "evenhand_files.hpp"

namespace evenhand {

// Asked before a decision and told after one, by any thread: be quick, and lock what needs it. What a store throws is told to the
// logger; the decision is then made without its records.
class StickyStore {
 public:
  StickyStore() = default;
  StickyStore(const StickyStore &) = delete;
  StickyStore &operator=(const StickyStore &) = delete;
  virtual ~StickyStore() = default;
  // All records of a unit id.
  virtual std::vector<StickyRecord> load(std::string_view unit) = 0;
  // Keeps a record, replacing one of the same unit and experiment.
  virtual void save(const StickyRecord &record) = 0;
};

// Records in memory, of the units seen last; `capacity` counts units.
class MemoryStickyStore : public StickyStore {
 public:
  // Throws std::invalid_argument for a capacity of 0.
  explicit MemoryStickyStore(std::size_t capacity = 100'000) : capacity_(capacity) {
    if (capacity == 0) throw std::invalid_argument("the capacity of a MemoryStickyStore is at least 1");
  }
  std::vector<StickyRecord> load(std::string_view unit) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = units_.find(std::string(unit));
    if (found == units_.end()) return {};
    order_.splice(order_.begin(), order_, found->second);
    return found->second->records;
  }
  void save(const StickyRecord &record) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = units_.find(record.unit);
    if (found == units_.end()) {
      order_.push_front(Unit{record.unit, {record}});
      units_.emplace(record.unit, order_.begin());
      if (units_.size() > capacity_) {
        units_.erase(order_.back().unit);
        order_.pop_back();
      }
      return;
    }
    order_.splice(order_.begin(), order_, found->second);
    replace(found->second->records, record);
  }
  // Replaces the record of the same experiment, or adds one.
  static void replace(std::vector<StickyRecord> &records, const StickyRecord &record) {
    for (StickyRecord &held : records) {
      if (held.experiment != record.experiment) continue;
      held = record;
      return;
    }
    records.push_back(record);
  }

 private:
  struct Unit {
    std::string unit;
    std::vector<StickyRecord> records;
  };
  std::mutex mutex_;
  std::size_t capacity_;
  // The unit seen last is the first.
  std::list<Unit> order_;
  std::unordered_map<std::string, std::list<Unit>::iterator> units_;
};

// Records in a file, which processes of one machine may share: lines are only ever appended, and those of others are seen within a
// second. It grows by about 60 bytes for each assignment, and memory holds all of it.
//
// A line: experiment, phase, variation and unit id, a tab behind each; a tab, line feed, carriage return or backslash in a text is written
// as `\t`, `\n`, `\r` or `\\`. A line without its last tab was cut when a process was killed: it is no record. A line feed before each
// record keeps a cut line from taking it along. The file is made with mode 0600.
class FileStickyStore : public StickyStore {
 public:
  // Throws std::system_error when the file can't be opened.
  explicit FileStickyStore(std::filesystem::path path) : path_(std::move(path)) {
    detail::OutFile(path_, O_APPEND);
    look();
  }
  std::vector<StickyRecord> load(std::string_view unit) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (std::chrono::steady_clock::now() - looked_ > std::chrono::seconds(1)) look();
    const auto found = units_.find(std::string(unit));
    return found == units_.end() ? std::vector<StickyRecord>() : found->second;
  }
  void save(const StickyRecord &record) override {
    const std::string line = '\n' + written(record.experiment) + '\t' + std::to_string(record.phase) + '\t' + written(record.variation) + '\t' +
                             written(record.unit) + "\t\n";
    const std::lock_guard<std::mutex> lock(mutex_);
    // One write of one line, so that lines of several processes don't mix.
    detail::OutFile out(path_, O_APPEND);
    out.write(line);
    out.close();
    keep(record);
  }

 private:
  void keep(const StickyRecord &record) { MemoryStickyStore::replace(units_[record.unit], record); }
  // Reads the whole lines that were appended since the last look.
  void look() {
    looked_ = std::chrono::steady_clock::now();
    std::ifstream in(path_, std::ios::binary | std::ios::ate);
    if (!in) throw std::system_error(std::make_error_code(std::errc::io_error), path_.string() + " can't be opened for reading");
    const std::streamoff size = in.tellg();
    // Somebody has emptied it: begin again.
    if (size < read_) {
      units_.clear();
      read_ = 0;
    }
    if (size == read_) return;
    std::string bytes(static_cast<std::size_t>(size - read_), '\0');
    in.seekg(read_);
    in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<std::size_t>(in.gcount()));
    std::size_t begin = 0;
    for (std::size_t end; (end = bytes.find('\n', begin)) != std::string::npos; begin = end + 1) {
      if (auto record = parsed(std::string_view(bytes).substr(begin, end - begin))) keep(*record);
    }
    read_ += static_cast<std::streamoff>(begin);
  }

  static std::string written(std::string_view text) {
    std::string out;
    for (const char byte : text) {
      const std::size_t at = std::string_view("\t\n\r\\").find(byte);
      if (at == std::string_view::npos) {
        out += byte;
      } else {
        out += '\\';
        out += "tnr\\"[at];
      }
    }
    return out;
  }
  static std::optional<std::string> read(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); at++) {
      if (text[at] != '\\') {
        out += text[at];
        continue;
      }
      const std::size_t meant = ++at < text.size() ? std::string_view("tnr\\").find(text[at]) : std::string_view::npos;
      if (meant == std::string_view::npos) return std::nullopt;
      out += "\t\n\r\\"[meant];
    }
    return out;
  }
  // None for an empty line, and for one that was cut when a process was killed.
  static std::optional<StickyRecord> parsed(std::string_view line) {
    std::string_view fields[4];
    for (std::string_view &field : fields) {
      const std::size_t end = line.find('\t');
      if (end == std::string_view::npos) return std::nullopt;
      field = line.substr(0, end);
      line.remove_prefix(end + 1);
    }
    if (!line.empty()) return std::nullopt;
    std::uint64_t phase = 0;
    if (fields[1].empty() || fields[1].size() > 10) return std::nullopt;
    for (const char digit : fields[1]) {
      if (digit < '0' || digit > '9') return std::nullopt;
      phase = phase * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    const auto experiment = read(fields[0]), variation = read(fields[2]), unit = read(fields[3]);
    if (phase > UINT32_MAX || !experiment || !variation || !unit) return std::nullopt;
    return StickyRecord{*experiment, static_cast<std::uint32_t>(phase), *unit, *variation};
  }

  std::filesystem::path path_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::vector<StickyRecord>> units_;
  std::streamoff read_ = 0;
  std::chrono::steady_clock::time_point looked_;
};

}  // namespace evenhand

#endif
