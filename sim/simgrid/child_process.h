// Work that must not happen in this process: a forked child and the memory it answers in.
#pragma once

#include <cstddef>
#include <functional>

namespace moesim::detail {

// Zeroed, aligned to a page, shared with children that are forked while it exists.
class SharedMemory {
 public:
  // Throws std::system_error.
  explicit SharedMemory(std::size_t bytes);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  [[nodiscard]] std::byte* at(std::size_t offset) const { return start_ + offset; }

 private:
  std::size_t bytes_;
  std::byte* start_;
};

// Runs work() in a child process and waits for its end. Only what it writes to SharedMemory is
// seen here. Throws InvariantError, with what the child wrote to stderr last, if work() throws or
// the child dies; std::system_error if there is no child.
void run_in_child(const std::function<void()>& work);

}  // namespace moesim::detail
