#include "calibrate/cpu/expert_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "calibrate/cpu/interrupt.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// Newer kernels take O_DIRECT there, too.
bool lives_in_memory(int file) {
  struct statfs system{};
  return fstatfs(file, &system) == 0 &&
         (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

constexpr std::int64_t k_bytes_between_checks = std::int64_t{4} << 20;

void write_part(int file, const char* from, std::int64_t bytes, std::int64_t offset,
                const std::string& folder) {
  for (std::int64_t at = 0; at < bytes;) {
    const ssize_t wrote =
        pwrite(file, from + at, static_cast<std::size_t>(bytes - at), offset + at);
    if (wrote < 0 && errno == EINTR) {
      continue;
    }
    if (wrote <= 0) {
      errno = wrote == 0 ? ENOSPC : errno;
      fail("cannot write expert weights in " + folder);
    }
    at += wrote;
  }
  int synced = fsync(file);
  while (synced != 0 && errno == EINTR) {
    synced = fsync(file);
  }
  if (synced != 0) {
    fail("cannot write expert weights in " + folder);
  }
}

}  // namespace

ExpertFile::ExpertFile(const std::string& folder, const WeightPool& pool, std::int64_t bytes,
                       const std::atomic<bool>* cancel)
    : bytes_(bytes) {
  ensure(bytes > 0 && bytes <= pool.bytes() && bytes % k_disk_page == 0,
         "an expert file is a whole number of pages of its pool");
  std::string name = folder + "/moesim-experts-XXXXXX";
  std::vector<char> path(name.begin(), name.end());
  path.push_back('\0');
  buffered_ = Descriptor(mkostemp(path.data(), O_CLOEXEC));
  if (buffered_ < 0) {
    fail("cannot create a file in " + folder);
  }
  if (!lives_in_memory(buffered_)) {
    direct_ = Descriptor(open(path.data(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  }
  unlink(path.data());
  const char* from = reinterpret_cast<const char*>(pool.floats().data());
  // Synchronised bit by bit: pages that are still to be written cannot be dropped, and one long
  // fsync could not be interrupted.
  for (std::int64_t at = 0; at < bytes;) {
    check_interrupt(cancel);
    const std::int64_t part = std::min(bytes - at, k_bytes_between_checks);
    write_part(buffered_, from + at, part, at, folder);
    at += part;
  }
  void* mapped =
      mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ, MAP_SHARED, buffered_, 0);
  if (mapped == MAP_FAILED) {
    fail("cannot map expert weights in " + folder);
  }
  mapping_ = static_cast<const char*>(mapped);
}

ExpertFile::~ExpertFile() {
  if (mapping_ != nullptr) {
    munmap(const_cast<char*>(mapping_), static_cast<std::size_t>(bytes_));
  }
}

ExpertFile::Descriptor::~Descriptor() {
  if (number_ >= 0) {
    close(number_);
  }
}

void ExpertFile::drop(std::int64_t offset, std::int64_t bytes) const {
  posix_fadvise(buffered_, offset, bytes, POSIX_FADV_DONTNEED);
}

void ExpertFile::read(std::int64_t offset, std::int64_t bytes, float* to, ReadMode mode) const {
  const bool direct = mode == ReadMode::cold_direct && has_direct();
  if (mode != ReadMode::warm && !direct) {
    drop(offset, bytes);
  }
  char* at = reinterpret_cast<char*>(to);
  for (std::int64_t done = 0; done < bytes;) {
    const ssize_t got = pread(direct ? direct_ : buffered_, at + done,
                              static_cast<std::size_t>(bytes - done), offset + done);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      errno = got == 0 ? EIO : errno;  // the file ends early
      fail("cannot read expert weights");
    }
    done += got;
  }
}

void ExpertFile::read_mapped(std::int64_t offset, std::int64_t bytes, float* to,
                             bool drop_first) const {
  if (drop_first) {
    // Mapped pages stay unless the mapping lets go of them first.
    madvise(const_cast<char*>(mapping_) + offset, static_cast<std::size_t>(bytes), MADV_DONTNEED);
    drop(offset, bytes);
  }
  std::memcpy(to, mapping_ + offset, static_cast<std::size_t>(bytes));
}

}  // namespace moesim
