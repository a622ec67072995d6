#include "sim/training/pass_steps.h"

#include <algorithm>
#include <array>

namespace moesim {
namespace {

// One pass on its way through its steps.
struct Walker {
  std::span<const PassStep> steps;
  std::span<const double> seconds;
  std::size_t next = 0;
  double ready_s = 0.0;

  [[nodiscard]] bool done() const { return next == steps.size(); }
  [[nodiscard]] std::size_t stream() const { return steps[next].is_exchange() ? 1 : 0; }
  [[nodiscard]] double start_s(const std::array<double, 2>& free_s) const {
    return std::max(ready_s, free_s.at(stream()));
  }
  void take(std::array<double, 2>& free_s) {
    const double end_s = start_s(free_s) + seconds[next];
    free_s.at(stream()) = end_s;
    ready_s = end_s;
    ++next;
  }
};

}  // namespace

std::vector<PassStep> join_kernels(std::span<const WorkPiece> pieces, bool by_layer) {
  std::vector<PassStep> steps;
  for (const WorkPiece& piece : pieces) {
    if (piece.is_exchange) {
      steps.push_back({.exchange = piece.exchange,
                       .layer = piece.layer,
                       .decision = piece.decision,
                       .ahead = piece.ahead});
      continue;
    }
    const bool joins = !steps.empty() && !steps.back().is_exchange() &&
                       (!by_layer || steps.back().layer == piece.layer);
    if (!joins) {
      steps.emplace_back();
    }
    steps.back().runs.push_back(piece.run);
    steps.back().layer = piece.layer;
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const bool fetches = i + 1 < steps.size() && steps[i + 1].is_exchange() &&
                         steps[i + 1].exchange == ExchangeKind::weights;
    steps[i].ends_layer = i + 1 == steps.size() || steps[i + 1].layer != steps[i].layer || fetches;
  }
  return steps;
}

std::vector<bool> take_turns(std::span<const PassStep> first, std::span<const double> first_seconds,
                             std::span<const PassStep> second,
                             std::span<const double> second_seconds) {
  Walker a{first, first_seconds};
  Walker b{second, second_seconds};
  std::array<double, 2> free_s{};
  std::vector<bool> turns;
  while (!a.done() || !b.done()) {
    const bool take_b = a.done() || (!b.done() && b.start_s(free_s) <= a.start_s(free_s));
    (take_b ? b : a).take(free_s);
    turns.push_back(take_b);
  }
  return turns;
}

}  // namespace moesim
