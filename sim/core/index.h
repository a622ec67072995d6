// The one cast from our signed numbers of things to positions in containers.
#pragma once

#include <concepts>
#include <cstddef>

namespace moesim {

constexpr std::size_t at(std::signed_integral auto index) {
  return static_cast<std::size_t>(index);
}

}  // namespace moesim
