// Expert weights on disk: the first part of a weight pool as a nameless temporary file.
#pragma once

#include <cstdint>
#include <string>

#include "calibrate/cpu/weight_pool.h"

namespace moesim {

enum class ReadMode : std::uint8_t {
  cold_direct,   // O_DIRECT: the device itself, where the file system has it (else as cold_dropped)
  cold_dropped,  // page cache dropped (posix_fadvise), then pread
  warm,          // pread from the page cache
};

class ExpertFile {
 public:
  // Writes `bytes` of the pool into a file in `folder`. Throws std::system_error.
  ExpertFile(const std::string& folder, const WeightPool& pool, std::int64_t bytes);
  ~ExpertFile();
  ExpertFile(const ExpertFile&) = delete;
  ExpertFile& operator=(const ExpertFile&) = delete;

  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  [[nodiscard]] bool has_direct() const { return direct_ >= 0; }

  // Offset, size and `to` must be multiples of 4,096. Any thread. Throws std::system_error.
  void read(std::int64_t offset, std::int64_t bytes, float* to, ReadMode mode) const;
  // The same through a mapping of the file.
  void read_mapped(std::int64_t offset, std::int64_t bytes, float* to, bool drop_first) const;

 private:
  void drop(std::int64_t offset, std::int64_t bytes) const;

  std::int64_t bytes_;
  int buffered_ = -1;
  int direct_ = -1;
  const char* mapping_ = nullptr;
};

inline constexpr std::int64_t k_disk_page = 4096;

}  // namespace moesim
