// Does a simulated figure agree with a published one? The exact rule is in README.md.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "sim/reproduce/claims.h"

namespace moesim {

enum class Verdict { reproduced, partly, no, not_attempted };
// "reproduced", "partly", "not", "not_attempted".
std::string_view name_of(Verdict verdict);

// A published figure holds from both sides, or is an upper or lower bound.
enum class Bound { both, at_most, at_least };

struct Target {
  std::vector<double> published;    // not empty
  std::vector<double> half_digits;  // as many; only for exact
  bool is_range = false;            // published = [low, high] for one simulated figure
  Tolerance tolerance;
  Bound bound = Bound::both;
  double neutral = 0.0;  // the figure that means no change: 1 for ratios, else 0
};

// The neutral figure of a unit: 1 for "x", "x (max)", "ratio", ...; else 0.
double neutral_of(std::string_view unit);

// One verdict for all figures: the worst. `simulated` has one figure for a range, else as many as
// are published; all are finite.
Verdict judge(const Target& target, std::span<const double> simulated);

// simulated / published, figure by figure; for a range, over the nearer end, or 1 inside. A
// published 0 gives 1 for a simulated 0 and infinity otherwise.
std::vector<double> ratios(const Target& target, std::span<const double> simulated);

}  // namespace moesim
