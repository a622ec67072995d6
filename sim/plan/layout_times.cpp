#include "sim/plan/layout_times.h"

#include <algorithm>

#include "models/network/moe_model_size.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

bool fills_in_order(const TrainLayout& layout) {
  return layout.pipeline == "1f1b" || layout.pipeline == "gpipe" ||
         layout.pipeline == "interleaved";
}

}  // namespace

WeightFlops weight_flops(const PlanProblem& problem, double peak_flops_per_s,
                         double capacity_factor) {
  const ParameterCounts counts = count_parameters(problem.model);
  const double head = counts.head + counts.tied_head;
  // What exceeds the experts' capacity is dropped.
  const double routed = (1.0 - std::min(1.0, capacity_factor)) * counts.active_routed_mean;
  const double tokens =
      static_cast<double>(problem.global_batch) * static_cast<double>(problem.sequence);
  return {.layers = 2 * (counts.active_without_embedding() - head - routed) * tokens,
          .head = 2 * head * tokens,
          .per_s = peak_flops_per_s};
}

Seconds work_at_peak(const PlanProblem& problem, const WeightFlops& flops,
                     const TrainLayout& layout) {
  const double passes = layout.recompute == Recompute::full ? 4.0 : 3.0;
  return Seconds((passes * flops.layers + 3.0 * flops.head) / problem.devices / flops.per_s);
}

Seconds least_time(const PlanProblem& problem, const WeightFlops& flops,
                   const TrainLayout& layout) {
  const Parallelism& p = layout.parallelism;
  const Seconds busy = work_at_peak(problem, flops, layout);
  const auto layers =
      static_cast<int>(problem.model.layers.size()) - static_cast<int>(problem.model.mtp_layers);
  const std::int64_t batches = micro_batches(layout, problem.global_batch);
  if (!fills_in_order(layout) || layers % (p.pp * p.vpp) != 0 || batches == 0) {
    return busy;
  }
  const Seconds layers_busy =
      work_at_peak(problem, {.layers = flops.layers, .head = 0.0, .per_s = flops.per_s}, layout);
  const double waits = (p.pp - 1.0) / p.vpp / static_cast<double>(batches);
  return std::max(busy, (1.0 + waits) * layers_busy);
}

double pace(const PlanProblem& problem, const WeightFlops& flops, const LayoutProbe& probe,
            const TrainLayout& layout) {
  Seconds all;
  for (const StagePasses& stage : probe.stages) {
    all += stage.forward + stage.backward;
  }
  const double batches = static_cast<double>(micro_batches(layout, problem.global_batch));
  const Seconds mean = batches / static_cast<double>(probe.stages.size()) * all;
  return mean / work_at_peak(problem, flops, layout);
}

Seconds exposed_once(Seconds exposed, Seconds pass, const TrainLayout& layout,
                     std::int64_t micro_batches) {
  const double chunks = layout.parallelism.vpp;
  // Micro-batches that go through a chunk before the stage turns to the next.
  const auto group =
      static_cast<double>(std::min<std::int64_t>(layout.parallelism.pp, micro_batches));
  return std::max(exposed / chunks, exposed - (chunks - 1.0) / chunks * (group - 1.0) * pass);
}

Seconds estimated_time(const LayoutProbe& probe, const TrainLayout& layout,
                       std::int64_t micro_batches) {
  ensure(!probe.stages.empty(), "a probe has stages");
  Seconds all;
  Seconds largest;
  for (const StagePasses& stage : probe.stages) {
    all += stage.forward + stage.backward;
    largest = std::max(largest, stage.forward + stage.backward);
  }
  return static_cast<double>(micro_batches) * largest +
         (all - largest) / static_cast<double>(layout.parallelism.vpp) +
         exposed_once(probe.ahead, probe.stages.front().forward, layout, micro_batches) +
         exposed_once(probe.gradients, probe.stages.front().backward, layout, micro_batches) +
         probe.update;
}

}  // namespace moesim
