#include "sim/training/iteration_graph.h"

#include <algorithm>
#include <optional>

#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/training/iteration_cells.h"
#include "sim/training/pass_emitter.h"
#include "sim/training/pass_steps.h"

namespace moesim {
namespace {

PartOptions part_options(const TrainingSystem& system) {
  const Parallelism& p = system.parallelism();
  return {.tensor_parallel = p.attention_tp > 1,
          .sequence_parallel = system.workload().sequence_parallel,
          .context_parallel = p.attention_cp > 1,
          .dispatches = p.expert_ep > 1,
          .slices_experts = p.expert_tp > 1,
          .fetches_weights = false,
          .decisions_differ = system.routing() != nullptr};
}

bool adds_gradients(Pass pass) { return pass == Pass::backward || pass == Pass::weight_grad; }

// An action and where it stands among those of its chunk.
struct MarkedAction {
  PipelineAction action;
  bool first_of_chunk = false;
  bool last_of_chunk = false;
};

std::vector<std::vector<MarkedAction>> mark_actions(const PipelineSchedule& schedule) {
  std::vector<std::vector<MarkedAction>> stages;
  for (const auto& order : schedule.actions) {
    std::vector<MarkedAction>& marked = stages.emplace_back();
    std::map<std::int32_t, std::size_t> last;
    for (const PipelineAction& action : order) {
      const bool first = !last.contains(action.chunk);
      last[action.chunk] = marked.size();
      marked.push_back({.action = action, .first_of_chunk = first});
    }
    for (const auto& [chunk, index] : last) {
      marked[index].last_of_chunk = true;
    }
  }
  return stages;
}

class Builder {
 public:
  Builder(const TrainingSystem& system, const ExpertTraffic& traffic, IterationGraph& out)
      : system_(system),
        out_(out),
        expansion_(system, traffic, out.step),
        parameters_(system.model(), system.parallelism()),
        cells_(system, out.step),
        emitter_(cells_, expansion_, parameters_, out.step.graph),
        options_(part_options(system)),
        actions_(mark_actions(system.schedule())),
        ends_(at(cells_.stages()), TasksByCell(at(cells_.count()))),
        reduced_(at(cells_.stages())) {}

  void build() {
    std::vector<std::size_t> next(at(cells_.stages()), 0);
    for (bool progress = true; progress;) {
      progress = false;
      for (int s = 0; s < cells_.stages(); ++s) {
        while (emit_next(s, next[at(s)])) {
          progress = true;
        }
      }
    }
    for (int s = 0; s < cells_.stages(); ++s) {
      ensure(next[at(s)] == actions_[at(s)].size(), "a pipeline schedule comes to its end");
    }
    change_weights();
    expansion_.finish();
    hand_over();
  }

 private:
  // An action on its way.
  struct Running {
    const MarkedAction* marked = nullptr;
    const std::vector<PassStep>* steps = nullptr;
    bool reduces = false;  // gradients of every layer that is done
    std::size_t next = 0;
    PassCursor cursor{};
  };
  // Backwards, micro-batch, place on its path; behind the last place: its forward pass is done.
  using ArrivalKey = std::tuple<bool, std::int32_t, std::size_t>;
  using StepsKey = std::tuple<std::int32_t, Pass, bool, bool>;
  using TurnsKey = std::tuple<int, const std::vector<PassStep>*, const std::vector<PassStep>*>;

  [[nodiscard]] const TrainWorkload& workload() const { return system_.workload(); }
  [[nodiscard]] int zero() const { return workload().optimizer.zero; }
  [[nodiscard]] TasksByCell nobody() const { return TasksByCell(at(cells_.count())); }

  const std::vector<PassStep>& steps_of(std::int32_t part, Pass pass, bool by_layer, bool fetches) {
    const StepsKey key{part, pass, by_layer, fetches};
    auto known = steps_.find(key);
    if (known == steps_.end()) {
      PartOptions options = options_;
      options.fetches_weights = fetches;
      const auto pieces =
          part_work(system_.model(), system_.parts()[at(part)], pass, workload(), options);
      known = steps_.emplace(key, join_kernels(pieces, by_layer || fetches)).first;
    }
    return known->second;
  }

  [[nodiscard]] std::size_t place_of(const PipelineAction& action, int stage) const {
    const auto& path = system_.schedule().path[at(action.micro_batch)];
    return static_cast<std::size_t>(std::ranges::find(path, ChunkPlace{stage, action.chunk}) -
                                    path.begin());
  }

  // What an action waits for besides its stage's earlier ones; nullopt: that is not there yet.
  [[nodiscard]] std::optional<TasksByCell> arrivals(const PipelineAction& action, int stage) const {
    const std::size_t place = place_of(action, stage);
    const bool back = action.pass != Pass::forward;
    const std::size_t last = system_.schedule().path[at(action.micro_batch)].size() - 1;
    if (action.pass == Pass::weight_grad || (!back && place == 0)) {
      return nobody();
    }
    const bool turns = back && place == last;
    const auto known =
        arrivals_.find(ArrivalKey{back && !turns, action.micro_batch, turns ? last + 1 : place});
    return known == arrivals_.end() ? std::nullopt : std::optional(known->second);
  }

  Running start(const MarkedAction& marked, int stage, const TasksByCell& arrived) {
    const PipelineAction& action = marked.action;
    const bool forward = action.pass == Pass::forward;
    // Weights that the last update changed are gathered before they are first needed.
    const bool first_use =
        zero() >= 1 && workload().overlap_parameters && forward && marked.first_of_chunk;
    const bool fetches = zero() >= 3 || first_use;
    Running running{.marked = &marked};
    running.reduces = adds_gradients(action.pass) && workload().overlap_gradients &&
                      (marked.last_of_chunk || zero() >= 2);
    running.steps = &steps_of(system_.schedule().part[at(stage)][at(action.chunk)], action.pass,
                              running.reduces, fetches);
    running.cursor.last = ends_[at(stage)];
    running.cursor.paced = zero() >= 3;
    running.cursor.gate = running.cursor.paced ? running.cursor.last : nobody();
    running.cursor.beside = nobody();
    running.cursor.needed = nobody();
    join(running.cursor.last, arrived);
    return running;
  }

  void advance(Running& running, int stage) {
    const PassStep& step = (*running.steps)[running.next++];
    emitter_.step(step, stage, running.cursor);
    if (running.reduces && step.ends_layer && step.layer >= 0) {
      reduce(parameters_.layer(step.layer), stage, step.layer, running.cursor.last);
    }
  }

  void reduce(const RankParameters& count, int stage, std::int32_t layer,
              const TasksByCell& after) {
    for (const Tasks& tasks :
         emitter_.parameters(ExchangeKind::gradients, count, stage, layer, after)) {
      join(reduced_[at(stage)], tasks);
    }
  }

  // The pass is over: its result goes to the next stage.
  void finish(const Running& running, int stage) {
    const PipelineAction& action = running.marked->action;
    out_.actions.push_back({.stage = stage,
                            .action = action,
                            .first = running.cursor.first,
                            .last = running.cursor.last.front()});
    const bool back = action.pass != Pass::forward;
    const std::size_t place = place_of(action, stage);
    if (action.pass == Pass::weight_grad || (back && place == 0)) {
      return;
    }
    const auto& path = system_.schedule().path[at(action.micro_batch)];
    const std::size_t to = back ? place - 1 : place + 1;
    const bool crosses = to < path.size() && path[to].stage != stage;
    arrivals_[ArrivalKey{back, action.micro_batch, to}] =
        crosses ? emitter_.send(stage, path[to].stage, back, running.cursor.last)
                : running.cursor.last;
  }

  bool emit_next(int stage, std::size_t& next) {
    const auto& order = actions_[at(stage)];
    if (next == order.size()) {
      return false;
    }
    const auto first = arrivals(order[next].action, stage);
    if (!order[next].action.beside_next) {
      if (first) {
        emit_one(order[next], stage, *first);
        next += 1;
      }
      return first.has_value();
    }
    const auto second = arrivals(order[next + 1].action, stage);
    if (!first || !second) {
      return false;
    }
    Running a = start(order[next], stage, *first);
    Running b = start(order[next + 1], stage, *second);
    for (const bool turn_of_b : turns(a, b, stage)) {
      advance(turn_of_b ? b : a, stage);
    }
    ends_[at(stage)] = a.cursor.last;
    join(ends_[at(stage)], b.cursor.last);
    finish(a, stage);
    finish(b, stage);
    next += 2;
    return true;
  }

  void emit_one(const MarkedAction& action, int stage, const TasksByCell& arrived) {
    Running running = start(action, stage, arrived);
    while (running.next < running.steps->size()) {
      advance(running, stage);
    }
    ends_[at(stage)] = running.cursor.last;
    finish(running, stage);
  }

  [[nodiscard]] std::vector<double> seconds_of(const std::vector<PassStep>& steps, int stage) {
    std::vector<double> seconds;
    for (const PassStep& step : steps) {
      seconds.push_back(emitter_.seconds(step, stage));
    }
    return seconds;
  }

  const std::vector<bool>& turns(const Running& a, const Running& b, int stage) {
    const TurnsKey key{stage, a.steps, b.steps};
    auto known = turns_.find(key);
    if (known == turns_.end()) {
      known = turns_
                  .emplace(key, take_turns(*a.steps, seconds_of(*a.steps, stage), *b.steps,
                                           seconds_of(*b.steps, stage)))
                  .first;
    }
    return known->second;
  }

  [[nodiscard]] RankParameters parameters_of(int stage) const {
    RankParameters sum;
    for (const std::int32_t part : system_.schedule().part[at(stage)]) {
      sum += parameters_.part(system_.parts()[at(part)]);
    }
    return sum;
  }

  // Embedding and head, whose gradients are reduced behind all layers'.
  [[nodiscard]] RankParameters ends_of_model(int stage) const {
    RankParameters sum;
    for (const std::int32_t part : system_.schedule().part[at(stage)]) {
      const ModelPart& model = system_.parts()[at(part)];
      sum.dense += model.embedding ? parameters_.embedding() : 0.0;
      sum.dense += model.head ? parameters_.head() : 0.0;
    }
    return sum;
  }

  // What remains of the gradients is reduced; then weights change. Clipping needs the norm of all
  // gradients, so that every stage's update waits for all of them.
  void change_weights() {
    Tasks all;
    for (int s = 0; s < cells_.stages(); ++s) {
      const bool most_are = workload().overlap_gradients;
      reduce(most_are ? ends_of_model(s) : parameters_of(s), s, -1, ends_[at(s)]);
      join(all, reduced_[at(s)]);
      for (const Tasks& tasks : ends_[at(s)]) {
        join(all, tasks);
      }
    }
    const Tasks norm{emitter_.wait_for(all)};
    for (int s = 0; s < cells_.stages(); ++s) {
      const TasksByCell updated =
          emitter_.everywhere(expansion_.optimizer(kept_of(s)), s, Category::optimizer,
                              TasksByCell(at(cells_.count()), norm));
      if (zero() == 1 || zero() == 2) {
        const bool later = workload().overlap_parameters;
        emitter_.parameters(ExchangeKind::weights, later ? ends_of_model(s) : parameters_of(s), s,
                            -1, updated);
      }
    }
  }

  // Parameters whose states the stage's data-parallel ranks keep: parts that lie on several stages
  // are shared out among them.
  [[nodiscard]] RankParameters kept_of(int stage) const {
    RankParameters sum;
    for (const std::int32_t part : system_.schedule().part[at(stage)]) {
      std::int64_t copies = 0;
      for (const auto& chunks : system_.schedule().part) {
        copies += std::ranges::count(chunks, part);
      }
      const RankParameters own = parameters_.part(system_.parts()[at(part)]);
      const auto share = zero() > 0 ? static_cast<double>(copies) : 1.0;
      sum += {.dense = own.dense / share, .experts = own.experts / share};
    }
    return sum;
  }

  void hand_over() {
    LoweredStep& step = out_.step;
    step.devices = cells_.devices();
    for (std::size_t l = 0; l < system_.model().layers.size(); ++l) {
      step.layer_is_moe.push_back(system_.model().layer(l).moe() != nullptr ? 1 : 0);
    }
    const double copies = cells_.ranks_per_cell();
    out_.stream_names = cells_.stream_names();
    out_.model_flops = expansion_.model_flops() * copies;
    out_.hardware_flops = expansion_.hardware_flops() * copies;
    // Folded exchanges are those of whole stages.
    out_.link_joules = expansion_.joules() * (cells_.folded() ? 1.0 : copies);
    out_.derived = expansion_.derived();
    out_.laws = expansion_.laws();
  }

  const TrainingSystem& system_;
  IterationGraph& out_;
  IterationExpansion expansion_;
  ParameterShares parameters_;
  IterationCells cells_;
  PassEmitter emitter_;
  PartOptions options_;
  std::vector<std::vector<MarkedAction>> actions_;
  std::map<StepsKey, std::vector<PassStep>> steps_;
  std::map<TurnsKey, std::vector<bool>> turns_;
  std::map<ArrivalKey, TasksByCell> arrivals_;
  std::vector<TasksByCell> ends_;  // [stage]: of the last actions
  std::vector<Tasks> reduced_;     // [stage]
};

}  // namespace

IterationGraph build_iteration(const TrainingSystem& system, int threads) {
  IterationGraph graph;
  const ExpertTraffic traffic(system, threads);
  graph.max_over_mean = traffic.max_over_mean();
  graph.dropped_share = traffic.dropped_share();
  Builder(system, traffic, graph).build();
  return graph;
}

}  // namespace moesim
