#include "sim/simgrid/child_process.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <system_error>

#include "sim/core/error.h"

namespace moesim::detail {
namespace {

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// An unnamed file that holds what the child writes to stderr.
class ErrorText {
 public:
  ErrorText() : file_(memfd_create("stderr", MFD_CLOEXEC)) {
    if (file_ < 0) {
      throw_errno("memfd_create");
    }
  }
  ~ErrorText() { close(file_); }
  ErrorText(const ErrorText&) = delete;
  ErrorText& operator=(const ErrorText&) = delete;

  void become_stderr() const { dup2(file_, STDERR_FILENO); }

  // The end of it: the cause of a crash comes last.
  [[nodiscard]] std::string tail() const {
    constexpr off_t most = 2000;
    std::array<char, most> text{};
    const off_t size = lseek(file_, 0, SEEK_END);
    const ssize_t got = pread(file_, text.data(), text.size(), size > most ? size - most : 0);
    return {text.data(), static_cast<std::size_t>(got > 0 ? got : 0)};
  }

 private:
  int file_;
};

void write_line(const char* text) {
  // Nothing can be done about a failure to report a failure.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, std::strlen(text));
}

// Leaves without running this copy's destructors and exit handlers.
[[noreturn]] void be_child(const std::function<void()>& work, const ErrorText& errors) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  errors.become_stderr();
  try {
    work();
    _exit(0);
  } catch (const std::exception& error) {
    write_line(error.what());
  } catch (...) {
    write_line("unknown exception");
  }
  _exit(1);
}

}  // namespace

SharedMemory::SharedMemory(std::size_t bytes)
    : bytes_(bytes > 0 ? bytes : 1),
      start_(static_cast<std::byte*>(
          mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
  if (start_ == MAP_FAILED) {
    throw_errno("mmap");
  }
}

SharedMemory::~SharedMemory() { munmap(start_, bytes_); }

void run_in_child(const std::function<void()>& work) {
  const ErrorText errors;
  const pid_t child = fork();
  if (child < 0) {
    throw_errno("fork");
  }
  if (child == 0) {
    be_child(work, errors);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) {
      throw_errno("waitpid");
    }
  }
  if (status != 0) {
    const std::string how = WIFSIGNALED(status)
                                ? "killed by signal " + std::to_string(WTERMSIG(status))
                                : "exit status " + std::to_string(WEXITSTATUS(status));
    throw InvariantError("SimGrid's process failed (" + how + "): " + errors.tail());
  }
}

}  // namespace moesim::detail
