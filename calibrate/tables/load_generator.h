// The expert loads that the published MoE benchmarks use, simulated: they time the most loaded of
// the EP ranks, and how many experts that rank touches decides its time at small batches.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "sim/core/rng.h"

namespace moesim {

struct LoadCase {
  std::int64_t tokens = 0;
  std::int64_t top_k = 0;
  std::int64_t experts = 0;
  std::int64_t ranks = 0;  // divides experts
  double exponent = 0;     // of the power law; 0: balanced
  // A router that first chooses among equal groups of neighbouring experts: how many there are, and
  // how many of them a token keeps.
  std::int64_t groups = 1;
  std::int64_t kept_groups = 1;

  friend auto operator<=>(const LoadCase&, const LoadCase&) = default;
};

// Averages over draws, hence not whole.
struct MeanLoad {
  double pairs = 0;
  double touched = 0;
  double tiles_64 = 0;
  double tiles_128 = 0;
  double busiest = 0;
};

// Pairs of every expert. Power law: popularity x^-a on [1, 0.8 T] where T*k > E, else on [0.01, 2];
// normalised to T*k, rounded, at most T each; what is missing or in excess goes round-robin over
// the ranks to each one's least (from each one's most) loaded expert.
std::vector<std::int64_t> power_law_counts(const LoadCase& load, Rng& rng);

// Token t's i-th choice is expert t + i*ceil(E/k), strided apart when there are few tokens.
std::vector<std::int64_t> balanced_counts(const LoadCase& load);

// What becomes of these pairs behind a router that keeps some groups: a token keeps the first
// groups in which it has a choice, loses its choices elsewhere, and takes the first experts of the
// kept groups instead. Pairs go busiest expert first to tokens 0, 1, ..., T - 1, 0, 1, ... under a
// power law; the most loaded rank's experts change places with the first's beforehand.
std::vector<std::int64_t> group_limited_counts(const LoadCase& load,
                                               std::vector<std::int64_t> counts);

// A rank whose experts' places were balanced by load, possibly with replicas.
struct ReceivedCase {
  std::int64_t slots = 0;   // places for experts over all ranks; a multiple of the ranks
  bool balanced = false;    // replicate the busiest experts, then pack the places by load
  std::int64_t tokens = 0;  // recorded: tokens with at least one pair on the timed rank
};

// Loads of the touched experts spread evenly from 2 mean - busiest to busiest: what can be said
// when only their number, their pairs and the busiest one are known.
MeanLoad spread_load(double pairs, double touched, double busiest);

// The rank whose experts have the most pairs, the first of several.
std::size_t busiest_rank(const std::vector<std::int64_t>& counts, std::int64_t ranks);

// Pure in (seed, case); remembers what it has computed.
class LoadGenerator {
 public:
  explicit LoadGenerator(std::uint64_t seed, int draws = 8) : streams_(seed), draws_(draws) {}

  // The rank that is timed: the most loaded one, or the first under balanced routing.
  const MeanLoad& load(const LoadCase& load);

  // One draw that sent `received.tokens` tokens to the most loaded rank: of 32 draws the nearest,
  // its pairs scaled to that number.
  [[nodiscard]] MeanLoad received(const LoadCase& load, const ReceivedCase& received) const;

 private:
  RngStreams streams_;
  int draws_;
  std::map<LoadCase, MeanLoad> known_;
};

}  // namespace moesim
