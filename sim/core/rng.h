// Named random streams with our own distributions: the same draws on every platform, and a new
// consumer of randomness does not shift the draws of the others.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace moesim {

// std::mt19937_64 is bit-exact by the standard; std::'s distributions are not, hence ours.
class Rng {
 public:
  explicit Rng(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t bits() { return engine_(); }
  // In [0, 1), 53 bits.
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  // In [0, n), unbiased. Requires n > 0.
  std::uint64_t below(std::uint64_t n);
  // Standard normal (Box-Muller, both values used).
  double normal();
  // Mean 1.
  double exponential();
  // Shape > 0, scale 1 (Marsaglia and Tsang 2000).
  double gamma(double shape);

 private:
  std::mt19937_64 engine_;
  double spare_normal_ = 0.0;
  bool has_spare_ = false;
};

// Fisher-Yates.
template <class T>
void shuffle(std::span<T> values, Rng& rng) {
  for (std::size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[rng.below(i)]);
  }
}

// Draws an index with probability proportional to its weight, in O(log n). An index without weight
// is never drawn.
class Categorical {
 public:
  // Throws InvariantError unless some weight is positive, all are >= 0 and their sum is finite.
  explicit Categorical(std::span<const double> weights);
  std::size_t operator()(Rng& rng) const;

 private:
  std::vector<double> cumulative_;
};

// One 64-bit seed per run; every consumer derives its own stream by name and index.
class RngStreams {
 public:
  explicit RngStreams(std::uint64_t seed) : seed_(seed) {}
  [[nodiscard]] Rng stream(std::string_view name, std::uint64_t index = 0) const;

 private:
  std::uint64_t seed_;
};

// Stateless mixing (splitmix64 finaliser), for hashes and per-item noise.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace moesim
