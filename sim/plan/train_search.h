// The fastest layout of a training iteration: enumerate, prune, probe, simulate, rank.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/core/progress.h"
#include "sim/plan/layout_judge.h"
#include "sim/plan/layout_times.h"
#include "sim/plan/search_space.h"

namespace moesim {

struct SearchOptions {
  SearchLimits limits;
  WeightFlops flops;
  Bytes usable;     // of a device's memory
  int threads = 1;  // results do not depend on it
  Progress progress = {};
};

struct RankedLayout {
  TrainLayout layout;
  Seconds estimate;
  LayoutFigures figures;
};

// A layout that would be faster, were it not for a limit.
struct BindingLimit {
  std::string limit;  // "memory"
  TrainLayout layout;
  Seconds estimate;
  Bytes peak_memory;
};

// The best time with one number of the layout fixed.
struct Sensitivity {
  std::string axis;  // "tp", "pp", "recompute", ...
  std::string value;
  Seconds step;
  bool simulated = false;  // false: an estimate, everything of that value was out by it
};

struct SearchResult {
  std::vector<RankedLayout> ranking;  // simulated ones that fit, fastest first
  std::vector<std::size_t> pareto;    // into ranking: no other is faster and smaller
  std::vector<BindingLimit> binding;
  std::vector<Sensitivity> sensitivities;
  double win_probability = 1.0;  // the first is the fastest of the ranking
  Reasons maps_out;              // rank maps that the model does not admit
  std::int64_t maps = 0;         // legal rank maps
  std::int64_t layouts = 0;      // legal layouts
  Reasons layouts_out;           // of them, why not simulated, or not ranked
  std::int64_t probed = 0;
  std::int64_t simulated = 0;
  std::optional<std::pair<TrainLayout, Bytes>> smallest;  // by memory, if none fits
  std::vector<std::string> notes;
};

SearchResult search_layouts(const PlanProblem& problem, const LayoutJudge& judge,
                            const SearchOptions& options);

}  // namespace moesim
