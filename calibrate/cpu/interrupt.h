// How a long measurement is asked to end.
#pragma once

#include <atomic>
#include <stdexcept>

namespace moesim {

class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("interrupted") {}
};

// Throws Interrupted once `cancel` is true.
inline void check_interrupt(const std::atomic<bool>* cancel) {
  if (cancel != nullptr && cancel->load()) {
    throw Interrupted();
  }
}

}  // namespace moesim
