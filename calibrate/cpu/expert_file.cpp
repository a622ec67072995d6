#include "calibrate/cpu/expert_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

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

}  // namespace

ExpertFile::ExpertFile(const std::string& folder, const WeightPool& pool, std::int64_t bytes)
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
  for (std::int64_t at = 0; at < bytes;) {
    const ssize_t wrote = pwrite(buffered_, from + at, static_cast<std::size_t>(bytes - at), at);
    if (wrote < 0 && errno == EINTR) {
      continue;
    }
    if (wrote <= 0) {
      errno = wrote == 0 ? ENOSPC : errno;
      fail("cannot write " + std::to_string(bytes) + " bytes of expert weights in " + folder);
    }
    at += wrote;
  }
  // Pages that are still to be written cannot be dropped.
  int synced = fsync(buffered_);
  while (synced != 0 && errno == EINTR) {
    synced = fsync(buffered_);
  }
  if (synced != 0) {
    fail("cannot write expert weights in " + folder);
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
