// Expert sets as bit masks, so that the overlap of two tokens is a population count.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "workloads/sources/routing.h"

namespace moesim::detail {

class ExpertMasks {
 public:
  explicit ExpertMasks(const RoutedTokens& tokens);

  // Experts of one layer that both tokens chose.
  [[nodiscard]] int overlap(std::size_t layer, std::size_t a, std::size_t b) const {
    const auto first = of(layer, a);
    const auto second = of(layer, b);
    int shared = 0;
    for (std::size_t w = 0; w < words_; ++w) {
      shared += std::popcount(first[w] & second[w]);
    }
    return shared;
  }
  [[nodiscard]] bool has(std::size_t layer, std::size_t token, std::size_t expert) const {
    return ((of(layer, token)[expert / 64] >> (expert % 64)) & 1U) != 0;
  }

 private:
  [[nodiscard]] std::span<const std::uint64_t> of(std::size_t layer, std::size_t token) const {
    return std::span(bits_).subspan((layer * tokens_ + token) * words_, words_);
  }

  std::size_t tokens_;
  std::size_t words_;
  std::vector<std::uint64_t> bits_;  // [layer][token][word]
};

}  // namespace moesim::detail
