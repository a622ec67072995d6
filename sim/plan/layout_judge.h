// What the search asks of a simulator about a layout. training_judge.h asks the real one.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "sim/core/units.h"
#include "sim/plan/train_layout.h"

namespace moesim {

// Of a micro-batch on a stage, with all exchanges.
struct StagePasses {
  Seconds forward;
  Seconds backward;
};
struct LayoutProbe {
  std::vector<StagePasses> stages;
  // What comes once, and what passes do not hide of it. Until the last backward: sends, weights
  // that the first forward waits for.
  Seconds ahead;
  Seconds gradients;  // their reduction behind the last backward
  Seconds update;     // the optimizer, and weights that are gathered behind it
};

struct LayoutFigures {
  Seconds step;
  // Relative standard error of the step that other layouts do not share.
  double sigma = 0.0;
  double p10_s = 0.0;
  double p90_s = 0.0;
  double mfu = 0.0;
  Bytes peak_memory;
  bool fits = true;
  std::shared_ptr<const nlohmann::json> metrics;  // as the simulator reports them
};

// Asked from several threads at once. All throw ConfigError for layouts that are not simulated.
class LayoutJudge {
 public:
  virtual ~LayoutJudge() = default;

  // On the fullest stage.
  [[nodiscard]] virtual Bytes peak_memory(const TrainLayout& layout) const = 0;
  // An iteration of two micro-batches (one, if the layout has no more) in 1F1B's order, whatever
  // the layout's pipeline and chunks.
  [[nodiscard]] virtual LayoutProbe probe(const TrainLayout& layout) const = 0;
  [[nodiscard]] virtual LayoutFigures simulate(const TrainLayout& layout) const = 0;
};

}  // namespace moesim
