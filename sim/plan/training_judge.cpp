#include "sim/plan/training_judge.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "sim/core/index.h"
#include "sim/plan/layout_times.h"
#include "sim/training/iteration_report.h"
#include "sim/training/pipeline.h"
#include "sim/training/stage_memory.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// As the simulator takes it: with as many prediction modules as the workload trains.
Json trained_model(const Json& model, int mtp_layers) {
  if (mtp_layers == 0) {
    return model;
  }
  Json reference = model.is_object() ? model : Json{{"model", model}};
  reference["mtp_layers"] = mtp_layers;
  return reference;
}

// Whatever the document says of its layout.
ScenarioDocument with_layout(const ScenarioDocument& document, const TrainLayout& layout) {
  return {.json = scenario_with(document.json, layout), .warnings = document.warnings};
}

bool asks_for_whole_sequences(const Json& document) {
  return document.contains("parallelism") && document.at("parallelism").is_object() &&
         document.at("parallelism").value("sequence_parallel", Json(true)) == Json(false);
}

PipelineSchedule schedule_of(const TrainLayout& layout, std::int64_t micro_batches, bool pairs,
                             const std::string& where) {
  return find_pipeline(layout.pipeline, where)
      .make({.stages = layout.parallelism.pp,
             .chunks = layout.parallelism.vpp,
             .micro_batches = static_cast<int>(micro_batches),
             .pairs = pairs},
            where);
}

Seconds duration(const TrainingRun& run, const ActionTasks& action) {
  double start_s = run.result.makespan_s;
  double end_s = 0.0;
  for (const TaskId task : action.first) {
    start_s = std::min(start_s, run.result.tasks[at(task)].start_s);
  }
  for (const TaskId task : action.last) {
    end_s = std::max(end_s, run.result.tasks[at(task)].end_s);
  }
  return Seconds(end_s - start_s);
}

struct IterationMarks {
  Seconds last_pass;  // ends
  Seconds reduced;    // all gradients are
};

IterationMarks marks_of(const TrainingRun& run) {
  double last_pass_s = 0.0;
  for (const ActionTasks& action : run.graph.actions) {
    for (const TaskId task : action.last) {
      last_pass_s = std::max(last_pass_s, run.result.tasks[at(task)].end_s);
    }
  }
  // The first task of the update is their norm.
  double reduced_s = run.result.makespan_s;
  const auto tasks = run.graph.step.graph.tasks();
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (tasks[t].label == static_cast<std::int32_t>(Category::optimizer)) {
      reduced_s = std::min(reduced_s, run.result.tasks[t].start_s);
    }
  }
  return {.last_pass = Seconds(last_pass_s), .reduced = Seconds(std::max(last_pass_s, reduced_s))};
}

int parts_of(const PipelineSchedule& schedule) {
  std::int32_t last = 0;
  for (const auto& chunks : schedule.part) {
    last = std::max(last, std::ranges::max(chunks));
  }
  return last + 1;
}

}  // namespace

TrainingJudge::TrainingJudge(const ScenarioDocument& document, std::string name,
                             const Library& library)
    : document_(document),
      name_(std::move(name)),
      library_(library),
      base_(parse_train_scenario(with_layout(document, TrainLayout{}), name_)),
      sequence_parallel_(!asks_for_whole_sequences(document.json)),
      cluster_(library.cluster(base_.base.hardware, base_.base.where + "/hardware")),
      model_(library.model(trained_model(base_.base.model, base_.workload.mtp_layers),
                           base_.base.where + "/model")),
      backend_(make_fast_backend()) {}

PlanProblem TrainingJudge::problem() const {
  return {.model = model(),
          .devices = cluster().devices(),
          .node_devices = cluster().node.devices,
          .global_batch = base_.workload.global_batch,
          .sequence = base_.workload.sequence};
}

Bytes TrainingJudge::usable_memory() const {
  return cluster().node.device.memory.capacity * cluster().usable_memory;
}

double TrainingJudge::peak_flops_per_s() const {
  const OpPrecision& precision = base_.base.policy.precision;
  double peak = 0.0;
  for (const DType format : {precision.attention_gemm, precision.ffn_gemm, precision.expert_gemm}) {
    const auto found = cluster().node.device.peak.find(peak_class(format));
    peak = std::max(peak, found == cluster().node.device.peak.end() ? 0.0 : found->second.si());
  }
  return peak;
}

double TrainingJudge::capacity_factor() const {
  return base_.workload.capacity_factor.value_or(1.0);
}

Bytes TrainingJudge::peak_memory(const TrainLayout& layout) const {
  const std::string where = base_.base.where + "/policy/pipeline";
  const PipelineSchedule schedule =
      schedule_of(layout, micro_batches(layout, base_.workload.global_batch),
                  base_.policy.pairs_passes && layout.parallelism.pp > 1, where);
  const int parts = parts_of(schedule);
  const bool own_parts = std::ssize(base_.policy.layers) == parts;
  const auto split = split_model(
      model(), parts,
      own_parts ? std::span<const int>(base_.policy.layers) : std::span<const int>(), where);
  TrainWorkload workload = base_.workload;
  workload.micro_batch = layout.micro_batch;
  workload.recompute = layout.recompute;
  workload.optimizer.zero = layout.zero;
  workload.sequence_parallel = sequence_parallel_ && layout.parallelism.attention_tp > 1;
  if (layout.recompute != Recompute::selective) {
    workload.recompute_modules.clear();
  }
  const auto stages = stage_memory({.model = model(),
                                    .workload = workload,
                                    .parallelism = layout.parallelism,
                                    .precision = base_.base.policy.precision,
                                    .parts = split,
                                    .schedule = schedule});
  Bytes peak;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    peak = std::max(peak, moesim::peak_memory(stages[s], schedule.actions[s]));
  }
  return peak;
}

TrainScenario TrainingJudge::scenario_of(const TrainLayout& layout) const {
  return parse_train_scenario(with_layout(document_, layout), name_);
}

TrainingRun TrainingJudge::run(TrainScenario scenario) const {
  return run_training(std::move(scenario), library_, *backend_, 1);
}

LayoutProbe TrainingJudge::probe(const TrainLayout& layout) const {
  TrainLayout short_run = layout;
  short_run.parallelism.vpp = 1;
  short_run.pipeline = "1f1b";
  TrainScenario scenario = scenario_of(short_run);
  const std::int64_t batches =
      std::min<std::int64_t>(2, micro_batches(layout, base_.workload.global_batch));
  scenario.workload.global_batch = batches * layout.micro_batch * layout.parallelism.attention_dp;
  const TrainingRun run = this->run(std::move(scenario));
  LayoutProbe probe;
  probe.stages.resize(at(layout.parallelism.pp));
  for (const ActionTasks& action : run.graph.actions) {
    // Weights may come late for the first forward, and gradients are reduced beside the last
    // backward.
    const bool forward = action.action.pass == Pass::forward;
    if (action.action.micro_batch == (forward ? batches - 1 : 0)) {
      StagePasses& stage = probe.stages[at(action.stage)];
      (forward ? stage.forward : stage.backward) += duration(run, action);
    }
  }
  const Seconds passes = estimated_time(probe, short_run, batches);
  const IterationMarks marks = marks_of(run);
  probe.ahead = std::max(Seconds(0), marks.last_pass - passes);
  probe.gradients = marks.reduced - marks.last_pass;
  probe.update = Seconds(run.result.makespan_s) - marks.reduced;
  return probe;
}

LayoutFigures TrainingJudge::simulate(const TrainLayout& layout) const {
  const TrainingReport report = training_report(run(scenario_of(layout)));
  const double sigma = report.uncertainty.sigma;
  const Interval interval = p10_p90(report.step_s, sigma);
  return {.step = Seconds(report.step_s),
          .sigma = sigma * std::sqrt(std::max(0.0, 1.0 - report.uncertainty.deployment_share)),
          .p10_s = interval.p10,
          .p90_s = interval.p90,
          .mfu = report.mfu(),
          .peak_memory = report.peak_memory(),
          .fits = report.fits(),
          .metrics = std::make_shared<const Json>(to_json(report, Json::object()).at("metrics"))};
}

TrainLayout TrainingJudge::own_layout() const {
  Json own = document_.json;
  own.erase("search");
  const TrainScenario scenario =
      parse_train_scenario(ScenarioDocument{.json = own, .warnings = {}}, name_);
  return {.parallelism = scenario.base.parallelism,
          .micro_batch = scenario.workload.micro_batch,
          .recompute = scenario.workload.recompute,
          .zero = scenario.workload.optimizer.zero,
          .pipeline = scenario.policy.pipeline};
}

Json TrainingJudge::effective(const TrainLayout& layout) const {
  return TrainingSystem(scenario_of(layout), library_).scenario().base.effective;
}

}  // namespace moesim
