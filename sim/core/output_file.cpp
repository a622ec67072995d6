#include "sim/core/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "sim/core/error.h"

namespace moesim {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t k_buffer_bytes = 1 << 18;
constexpr int k_most_links = 40;          // as many as the kernel follows
constexpr int k_most_temporaries = 1000;  // left behind by processes that were killed

std::string folder_of(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

// The number of a descriptor of this process, if that is what a path names: /dev/stdout leads to
// /proc/self/fd/1. Opening the name again would begin at the start of the file behind it.
std::optional<int> own_descriptor(const std::string& path) {
  std::error_code error;
  const fs::path folder = fs::canonical(folder_of(path), error);
  const std::string own = "/proc/" + std::to_string(::getpid()) + "/fd";
  const std::string name = fs::path(path).filename().string();
  int number = 0;
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data(), end, number);
  if (error || folder != own || read.ec != std::errc{} || read.ptr != end) {
    return std::nullopt;
  }
  return number;
}

// What a path leads to: the first name that is no link, or that is a descriptor of this process.
std::string behind_links(const std::string& path) {
  fs::path at = path;
  for (int links = 0; links < k_most_links; ++links) {
    std::error_code error;
    if (own_descriptor(at.string()) || !fs::is_symlink(at, error)) {
      return at.string();
    }
    const fs::path next = fs::read_symlink(at, error);
    if (error) {
      break;
    }
    at = next.is_absolute() ? next : at.parent_path() / next;
  }
  throw std::system_error(ELOOP, std::generic_category(), "cannot write " + path);
}

bool is_without_names(int error) {
  return error == EOPNOTSUPP || error == EISDIR || error == EINVAL || error == ENOENT;
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) {
    ::close(number_);
  }
}

int Descriptor::release() { return std::exchange(number_, -1); }

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (number_ >= 0) {
      ::close(number_);
    }
    number_ = other.release();
  }
  return *this;
}

OutputFile::OutputFile(std::string path, Order order) : path_(std::move(path)) {
  const std::string target = behind_links(path_);
  struct stat found{};
  const bool exists = ::stat(target.c_str(), &found) == 0;
  if (own_descriptor(target) || (exists && !S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))) {
    open_direct(target, order);
    return;
  }
  if (exists && S_ISDIR(found.st_mode)) {
    errno = EISDIR;
    fail();
  }
  if (exists && ::access(target.c_str(), W_OK) != 0) {
    fail();
  }
  target_ = target;
  open_temporary();
  if (exists && ::fchmod(file_.number(), found.st_mode & 07777U) != 0) {
    fail();
  }
}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) {
    ::unlink(temporary_.c_str());
  }
}

void OutputFile::fail() const {
  throw std::system_error(errno, std::generic_category(), "cannot write " + path_);
}

void OutputFile::open_direct(const std::string& target, Order order) {
  const auto own = own_descriptor(target);
  Descriptor opened(own ? ::fcntl(*own, F_DUPFD_CLOEXEC, 0)
                        : ::open(target.c_str(), O_WRONLY | O_CLOEXEC));
  if (opened.number() < 0) {
    fail();
  }
  if (order == Order::forward) {
    file_ = std::move(opened);
    return;
  }
  direct_ = std::move(opened);
  std::FILE* unnamed = std::tmpfile();
  if (unnamed == nullptr) {
    fail();
  }
  file_ = Descriptor(::fcntl(::fileno(unnamed), F_DUPFD_CLOEXEC, 0));
  std::fclose(unnamed);
  if (file_.number() < 0) {
    fail();
  }
}

// A file without a name disappears with the process, whatever ends that. Not every file system has
// such files, and giving them a name needs /proc.
void OutputFile::open_temporary() {
  if (::access("/proc/self/fd", X_OK) == 0) {
    file_ = Descriptor(::open(folder_of(target_).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
    if (file_.number() >= 0) {
      return;
    }
    if (!is_without_names(errno)) {
      fail();
    }
  }
  const std::string prefix = target_ + ".part." + std::to_string(::getpid()) + ".";
  for (int i = 0; i < k_most_temporaries; ++i) {
    const std::string name = prefix + std::to_string(i);
    file_ = Descriptor(::open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666));
    if (file_.number() >= 0) {
      temporary_ = name;
      return;
    }
    if (errno != EEXIST) {
      break;
    }
  }
  fail();
}

void OutputFile::write_all(int descriptor, std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) {
      fail();
    }
    bytes.remove_prefix(written > 0 ? static_cast<std::size_t>(written) : 0);
  }
}

void OutputFile::flush() {
  write_all(file_.number(), buffer_);
  buffer_.clear();
}

void OutputFile::write(std::string_view bytes) {
  if (buffer_.size() + bytes.size() > k_buffer_bytes) {
    flush();
  }
  if (bytes.size() > k_buffer_bytes) {
    write_all(file_.number(), bytes);
  } else {
    buffer_.append(bytes);
  }
}

void OutputFile::rewrite(std::uint64_t offset, std::string_view bytes) {
  flush();
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(file_.number(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno != EINTR) {
      fail();
    }
    const auto done = written > 0 ? static_cast<std::size_t>(written) : 0;
    bytes.remove_prefix(done);
    offset += done;
  }
}

void OutputFile::copy_to_direct() {
  std::array<char, 1 << 16> block{};
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(file_.number(), block.data(), block.size(), at);
    if (got < 0) {
      fail();
    }
    if (got == 0) {
      return;
    }
    write_all(direct_.number(), {block.data(), static_cast<std::size_t>(got)});
    at += got;
  }
}

// Links of unnamed files cannot replace a file; renaming can.
void OutputFile::take_name() {
  if (temporary_.empty()) {
    const std::string own = "/proc/self/fd/" + std::to_string(file_.number());
    const std::string prefix = target_ + ".part." + std::to_string(::getpid()) + ".";
    int failed = -1;
    for (int i = 0; i < k_most_temporaries && failed != 0; ++i) {
      const std::string name = prefix + std::to_string(i);
      failed = ::linkat(AT_FDCWD, own.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW);
      if (failed == 0) {
        temporary_ = name;
      } else if (errno != EEXIST) {
        break;
      }
    }
    if (failed != 0) {
      fail();
    }
  }
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    fail();
  }
  temporary_.clear();
}

void OutputFile::finish() {
  flush();
  if (direct_.number() >= 0) {
    copy_to_direct();
    file_ = std::move(direct_);
  } else if (!target_.empty()) {
    if (::fsync(file_.number()) != 0) {
      fail();
    }
    take_name();
    // The name, too, survives a lost machine; file systems that cannot promise it say nothing.
    const Descriptor folder(::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ::fsync(folder.number());
  }
  if (::close(file_.release()) != 0) {
    fail();
  }
}

void write_text_file(const std::string& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.finish();
}

namespace {

// Files of one inode are one file, whatever links lead to it.
bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  return fs::is_regular_file(a, error) && fs::equivalent(a, b, error) && !error;
}

bool is_in_folder(const std::string& file, const NamedFile& folder) {
  std::error_code error;
  if (!fs::is_directory(folder.path, error) || !fs::is_regular_file(file, error) ||
      !file.ends_with(folder.suffix)) {
    return false;
  }
  const fs::path inner = fs::canonical(file, error);
  const fs::path outer = fs::canonical(folder.path, error);
  const auto [left, right] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return !error && left == outer.end();
}

void check_output(const NamedFile& output, std::span<const NamedFile> inputs) {
  const std::string where = output.name + " " + output.path;
  const std::string target = behind_links(output.path);
  const std::string folder = folder_of(target);
  if (!fs::is_directory(folder)) {
    throw ConfigError(where, "the folder " + folder + " does not exist");
  }
  if (fs::is_directory(target)) {
    throw ConfigError(where, "is a folder; give the path of a file");
  }
  for (const NamedFile& input : inputs) {
    if (is_same_file(target, input.path) || is_in_folder(target, input)) {
      throw ConfigError(where, "would replace what is read: " + input.name + " " + input.path +
                                   "; give another path");
    }
  }
  const bool exists = fs::exists(target);
  if (!own_descriptor(target) && ::access((exists ? target : folder).c_str(), W_OK) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot write " + output.path);
  }
}

}  // namespace

void check_outputs(std::span<const NamedFile> outputs, std::span<const NamedFile> inputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].path.empty()) {
      continue;
    }
    check_output(outputs[i], inputs);
    const std::string target = behind_links(outputs[i].path);
    for (std::size_t j = 0; j < i; ++j) {
      const bool names =
          !outputs[j].path.empty() && !fs::exists(target) &&
          fs::weakly_canonical(target) == fs::weakly_canonical(behind_links(outputs[j].path));
      if (names || is_same_file(target, outputs[j].path)) {
        throw ConfigError(outputs[i].name + " " + outputs[i].path,
                          "is already the file of " + outputs[j].name + "; give another path");
      }
    }
  }
}

}  // namespace moesim
