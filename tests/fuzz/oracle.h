// What fuzz targets share: an oracle that fails stops the program, in every build type.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string_view>

// libFuzzer's entry point, defined by each target.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace moesim::fuzz {

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline void require(bool holds, std::string_view law) {
  if (!holds) {
    std::cerr << "broken law: " << law << '\n';
    std::abort();
  }
}

}  // namespace moesim::fuzz
