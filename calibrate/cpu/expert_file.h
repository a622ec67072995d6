// Expert weights on disk: the first part of a weight pool as a nameless temporary file.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "calibrate/cpu/weight_pool.h"

namespace moesim {

enum class ReadMode : std::uint8_t {
  cold_direct,   // O_DIRECT: the device itself, where the file system has it (else as cold_dropped)
  cold_dropped,  // page cache dropped (posix_fadvise), then pread
  warm,          // pread from the page cache
};

class ExpertFile {
 public:
  // Writes `bytes` of the pool into a file in `folder`. Throws std::system_error, and Interrupted
  // once `cancel` is true.
  ExpertFile(const std::string& folder, const WeightPool& pool, std::int64_t bytes,
             const std::atomic<bool>* cancel = nullptr);
  ~ExpertFile();
  ExpertFile(const ExpertFile&) = delete;
  ExpertFile& operator=(const ExpertFile&) = delete;

  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  // Does cold_direct read the device? Not on file systems without O_DIRECT, nor on those that live
  // in memory and take the flag all the same.
  [[nodiscard]] bool has_direct() const { return direct_ >= 0; }

  // Offset, size and `to` must be multiples of 4,096. Any thread. Throws std::system_error.
  void read(std::int64_t offset, std::int64_t bytes, float* to, ReadMode mode) const;
  // The same through a mapping of the file.
  void read_mapped(std::int64_t offset, std::int64_t bytes, float* to, bool drop_first) const;

 private:
  void drop(std::int64_t offset, std::int64_t bytes) const;

  // Closed also where the constructor ends with an error.
  class Descriptor {
   public:
    Descriptor() = default;
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
      std::swap(number_, other.number_);
      return *this;
    }
    ~Descriptor();
    operator int() const { return number_; }

   private:
    int number_ = -1;
  };

  std::int64_t bytes_;
  Descriptor buffered_;
  Descriptor direct_;
  const char* mapping_ = nullptr;
};

// Why reads from the device are left out.
inline constexpr const char* k_no_direct_reads =
    "the scratch folder's file system has no direct reads (O_DIRECT), so that they would measure "
    "memory; give --scratch a folder on a disk";

inline constexpr std::int64_t k_disk_page = 4096;

}  // namespace moesim
