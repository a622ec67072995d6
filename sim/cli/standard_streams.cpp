#include "sim/cli/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <iostream>
#include <system_error>

namespace moesim {

void reserve_standard_streams() {
  for (const auto& [stream, path] :
       {std::pair(STDIN_FILENO, "/dev/null"), std::pair(STDOUT_FILENO, "/dev/full"),
        std::pair(STDERR_FILENO, "/dev/null")}) {
    if (::fcntl(stream, F_GETFD) < 0) {
      ::open(path, O_RDWR);  // takes the lowest free number, which is this one
    }
  }
  // Writing to a reader that has gone is an error like any other, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
}

int with_stdout_checked(int status) {
  errno = 0;
  std::cout.flush();
  if (std::cout) {
    return status;
  }
  std::cerr << "moesim: cannot write all of the output to stdout";
  if (errno != 0) {
    std::cerr << ": " << std::generic_category().message(errno);
  }
  std::cerr << "\n";
  return status == 0 ? 1 : status;
}

}  // namespace moesim
