// How far a long work is: called with the share done, in [0, 1]; may be empty.
#pragma once

#include <cstddef>
#include <functional>

namespace moesim {

using Progress = std::function<void(double share)>;

inline void tell(const Progress& progress, std::size_t done, std::size_t total) {
  if (progress) {
    progress(static_cast<double>(done) / static_cast<double>(total));
  }
}

}  // namespace moesim
