// A small model, and a made-up simulator of training iterations whose answers are formulas.
#pragma once

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/plan/train_search.h"

namespace moesim::test {

// 8 layers, 8 query and 4 key heads, 8 experts of which 2 are used.
inline MoeModel small_model() {
  const nlohmann::json document = nlohmann::json::parse(R"({
      "schema": 1, "name": "small", "sources": ["made up"], "date": "2026-11-30",
      "hidden": 1024, "vocabulary": 32000,
      "attention": {"kind": "gqa", "heads": 8, "kv_heads": 4, "head_dim": 128},
      "blocks": [{"repeat": 8,
                  "ffn": [{"kind": "moe", "experts": [{"count": 8, "kind": "ffn", "inter": 2048}],
                           "router": {"top_k": 2}}]}]})");
  return parse_model(document, "small.json#");
}

// Stages alike; 1F1B and interleaved times are the estimate's plus what `crowding` says, so that
// estimates and simulated times disagree in order.
class FormulaJudge final : public LayoutJudge {
 public:
  FormulaJudge(const PlanProblem& problem, double crowding)
      : problem_(problem), crowding_(crowding) {}

  [[nodiscard]] Bytes peak_memory(const TrainLayout& l) const override {
    const Parallelism& p = l.parallelism;
    if (p.expert_tp == 8) {
      throw ConfigError("judge", "no units of eight");
    }
    const double weights = 64e9 / (p.pp * (p.attention_tp + p.expert_tp * p.expert_ep));
    const double kept = l.recompute == Recompute::none ? 4e9 : 1e9;
    return Bytes(weights / (1 + l.zero) +
                 kept * static_cast<double>(l.micro_batch) / p.attention_tp / p.attention_cp);
  }
  [[nodiscard]] LayoutProbe probe(const TrainLayout& l) const override {
    ++probes;
    const Parallelism& p = l.parallelism;
    const double cut = 1.0 / (p.pp * p.attention_tp * p.attention_cp);
    const double work = static_cast<double>(l.micro_batch) * cut * 0.012;
    const double exchange = 0.002 * (p.attention_tp - 1) + 0.003 * (p.attention_cp - 1) +
                            0.001 * (p.expert_ep - 1) + 0.004 * (p.expert_tp - 1);
    const Seconds forward(work + exchange * cut * 2);
    const double again = l.recompute == Recompute::none ? 0 : 1;
    return {
        .stages = std::vector<StagePasses>(static_cast<std::size_t>(p.pp),
                                           {.forward = forward, .backward = (2 + again) * forward}),
        .ahead = Seconds(0.002 * l.zero),
        .gradients = Seconds(0.0008 * p.attention_dp),
        .update = Seconds(0.0002 * p.attention_dp)};
  }
  [[nodiscard]] LayoutFigures simulate(const TrainLayout& l) const override {
    ++simulations;
    const double crowded =
        1.0 +
        crowding_ * static_cast<double>((l.micro_batch * 7 + l.parallelism.expert_ep * 3) % 5);
    LayoutFigures figures;
    figures.step =
        crowded * estimated_time(LayoutProbe(probe(l)), l, micro_batches(l, problem_.global_batch));
    --probes;
    figures.sigma = 0.05;
    figures.peak_memory = peak_memory(l);
    return figures;
  }

  mutable std::atomic<int> probes{0};
  mutable std::atomic<int> simulations{0};

 private:
  const PlanProblem& problem_;
  double crowding_;
};

}  // namespace moesim::test
