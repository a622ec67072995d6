#include "calibrate/cpu/host_lowering.h"

#include <algorithm>
#include <array>
#include <set>

#include "sim/core/error.h"
#include "sim/core/lru_index.h"
#include "sim/flow/backend.h"

namespace moesim {
namespace {

class Lowering {
 public:
  Lowering(const MoePlan& plan, const HostProfile& profile)
      : plan_(plan), config_(plan.config), profile_(profile) {
    threads_ = config_.threads();
    for (int t = 0; t < threads_; ++t) {
      made_.graph.resources.push_back({"core " + std::to_string(t), ResourceKind::compute, 1.0});
    }
    made_.graph.resources.push_back({"cores together", ResourceKind::compute, 1.0});
    made_.graph.resources.push_back({"memory", ResourceKind::memory, 1.0});
    made_.graph.resources.push_back({"disk", ResourceKind::link, 1.0});
    set_working_sets();
    expert_thread_.resize(static_cast<std::size_t>(config_.ranks));
    for (const MoeStep& step : plan_.steps) {
      if (step.kind == MoeStepKind::experts) {
        expert_thread_[static_cast<std::size_t>(step.rank)] = step.thread;
      }
    }
    if (config_.home != ExpertHome::memory) {
      caches_.assign(static_cast<std::size_t>(config_.ranks),
                     LruIndex(static_cast<std::size_t>(config_.cache_experts)));
    }
  }

  LoweredPlan run() {
    if (!caches_.empty()) {
      // The layer is timed after passes that have filled its caches.
      for (const MoeStep& step : plan_.steps) {
        if (step.kind == MoeStepKind::experts) {
          for (const ExpertRows& rows : experts_of(step)) {
            touch(step, rows.expert);
          }
        }
      }
    }
    build_moe_graph(
        plan_.work, plan_.schedule, config_.ranks,
        [this](std::int32_t node, int rank) {
          const MoeStep& step = plan_.steps.at(made_.graph.tasks().size());
          ensure(step.node == node && step.rank == rank, "task i is step i");
          return add_program(step);
        },
        made_.graph);
    return std::move(made_);
  }

 private:
  // Bytes between two uses of an expert (pass), of a router, of a row.
  struct Sets {
    double pass = 0.0;
    double gate = 0.0;
    double moves = 0.0;
  };

  // A pass reads all touched weights and moves all rows: what one of them finds in a cache at its
  // next use is what that many bytes leave there. Where cores keep their data apart, only a rank's
  // own bytes count; profiles index two threads by the bytes of both.
  void set_working_sets() {
    const auto hidden = static_cast<double>(config_.shape.hidden);
    const auto weight_bytes = static_cast<double>(config_.shape.weight_bytes());
    const auto gates = static_cast<double>(4 * config_.layers * config_.experts) * hidden;
    const auto ranks = static_cast<std::size_t>(config_.ranks);
    sets_.resize(ranks);
    double all_kept = 0.0;
    double all_touched = 0.0;
    double all_rows = 0.0;
    for (std::size_t r = 0; r < ranks; ++r) {
      double touched = 0.0;
      double rows = 0.0;
      for (const auto& layer : plan_.plan) {
        std::set<std::int32_t> experts;
        for (const MoeLayerPlan& batch : layer) {
          rows += 2.0 * batch.rows[r] / config_.layers;
          for (const ExpertRows& one : batch.experts[r]) {
            experts.insert(one.expert);
          }
        }
        touched += static_cast<double>(experts.size()) * weight_bytes;
      }
      double kept = touched;
      if (config_.home != ExpertHome::memory) {
        kept = std::min(touched, config_.cache_experts * weight_bytes);
      }
      rows += static_cast<double>(config_.tokens_per_rank);
      sets_[r] = {kept, touched, 4.0 * hidden * rows};
      all_kept += kept;
      all_touched += touched;
      all_rows += 4.0 * hidden * rows;
    }
    for (Sets& set : sets_) {
      // Of both ranks.
      const auto together = [&](double own, double all) {
        return profile_.private_caches ? own * static_cast<double>(ranks) : all;
      };
      const double kept = together(set.pass, all_kept);
      const double touched = together(set.gate, all_touched);
      const double rows = together(set.moves, all_rows);
      set.pass = kept + gates + rows;
      // The thread that moves rows does not see the experts' weights in a cache of its own.
      const bool apart = profile_.private_caches && config_.overlap == HostOverlap::two_batch;
      const double passing = apart ? gates : touched + gates;
      set.gate = passing + rows;
      set.moves = passing / config_.layers + rows;
    }
  }

  const MoeLayerPlan& layer_of(const MoeStep& step) const {
    return plan_.plan[static_cast<std::size_t>(step.layer)][static_cast<std::size_t>(step.batch)];
  }

  const Sets& sets_of(const MoeStep& step) const {
    return sets_[static_cast<std::size_t>(step.rank)];
  }

  std::vector<ExpertRows> experts_of(const MoeStep& step) const {
    std::vector<ExpertRows> found;
    for (const ExpertRows& rows : layer_of(step).experts[static_cast<std::size_t>(step.rank)]) {
      if (step.holds(rows)) {
        found.push_back(rows);
      }
    }
    return found;
  }

  bool touch(const MoeStep& step, int expert) {
    return caches_[static_cast<std::size_t>(step.rank)]
        .touch(static_cast<std::int64_t>(step.layer) * config_.experts + expert)
        .hit;
  }

  ProgramId add_program(const MoeStep& step) {
    const ProgramId program = made_.graph.begin_program();
    made_.is_disk_segment.emplace_back();
    if (!step.after.empty()) {
      segment(profile_.handoff_s, {});
    }
    switch (step.kind) {
      case MoeStepKind::gate:
        add_gate(step);
        break;
      case MoeStepKind::dispatch:
        add_dispatch(step);
        break;
      case MoeStepKind::experts:
        add_experts(step);
        break;
      case MoeStepKind::combine:
        add_combine(step);
        break;
    }
    return program;
  }

  void segment(double latency_s, const std::vector<Need>& needs, bool disk = false) {
    made_.graph.add_segment(latency_s, needs);
    made_.is_disk_segment.back().push_back(disk);
  }

  void add_call(const MoeStep& step, const KernelTimes& times, const KernelCall& call) {
    const double core = times.core_s(call);
    add_part(step, core, core * times.contention, threads_);
    add_part(step, times.memory_s(call), times.both_memory_s(call), threads_ + 1);
  }

  // Takes `alone` by itself, and `both` while another thread uses as much of the shared resource:
  // each then gets half of it. With two threads the working set is that of both, so that `both` can
  // be the smaller one.
  void add_part(const MoeStep& step, double alone, double both, int shared, bool disk = false) {
    const double solo = config_.ranks > 1 ? std::min(alone, both) : alone;
    if (solo <= 0.0) {
      return;
    }
    std::vector<Need> needs{{step.thread, solo}};
    if (threads_ > 1) {
      needs.push_back({shared, std::min(both / 2.0, solo)});
    }
    segment(0.0, needs, disk);
  }

  void add_gate(const MoeStep& step) {
    const auto batch = static_cast<std::size_t>(step.batch);
    const auto weights = static_cast<double>(config_.experts * config_.shape.hidden);
    KernelCall call;
    call.rows = static_cast<double>(plan_.first_token[batch + 1] - plan_.first_token[batch]);
    call.weights = weights;
    call.width = config_.top_k;
    call.bytes = 4.0 * weights;
    call.working_set_bytes = sets_of(step).gate;
    add_call(step, profile_.gate, call);
  }

  void add_dispatch(const MoeStep& step) {
    const std::array<double, 2> rows = count_pairs(step, made_.dispatched_pairs);
    add_rows(step, profile_.dispatch_local, rows[0], 0.0);
    add_rows(step, profile_.dispatch_remote, rows[1], 0.0);
  }

  // The tokens are read and written, too: shared out by where their terms are.
  void add_combine(const MoeStep& step) {
    const std::array<double, 2> rows = count_pairs(step, made_.combined_pairs);
    add_rows(step, profile_.combine_local, rows[0], rows[0] / config_.top_k);
    add_rows(step, profile_.combine_remote, rows[1], rows[1] / config_.top_k);
  }

  // Of the step: whose other side is this thread's, and another one's.
  std::array<double, 2> count_pairs(const MoeStep& step, std::int64_t& counted) const {
    std::array<double, 2> rows{};
    for (const PairRow& pair : layer_of(step).pairs[static_cast<std::size_t>(step.rank)]) {
      if (step.holds(pair)) {
        const int owner = expert_thread_[static_cast<std::size_t>(pair.destination)];
        rows.at(owner == step.thread ? 0 : 1) += 1.0;
        ++counted;
      }
    }
    return rows;
  }

  void add_rows(const MoeStep& step, const KernelTimes& times, double pairs, double tokens) {
    if (pairs > 0.0) {
      const auto hidden = static_cast<double>(config_.shape.hidden);
      add_call(step, times,
               {pairs + tokens, 0.0, hidden, hidden * (4.0 * pairs + 8.0 * tokens),
                sets_of(step).moves});
    }
  }

  void add_experts(const MoeStep& step) {
    const auto weight_bytes = static_cast<double>(config_.shape.weight_bytes());
    for (const ExpertRows& rows : experts_of(step)) {
      KernelCall call;
      call.rows = rows.rows;
      call.weights = static_cast<double>(config_.shape.weights());
      call.bytes = weight_bytes;
      call.working_set_bytes = sets_of(step).pass;
      if (!caches_.empty() && !touch(step, rows.expert)) {
        add_read(step, weight_bytes);
        // The device writes to memory; a copy from the page cache leaves it in this core's caches.
        call.working_set_bytes = config_.home == ExpertHome::disk ? 1e15 : weight_bytes;
      }
      add_call(step, profile_.expert, call);
      made_.computed_pairs += rows.rows;
      made_.weight_bytes += weight_bytes;
      made_.extrapolated = made_.extrapolated || call.rows > profile_.expert.largest_rows;
    }
  }

  void add_read(const MoeStep& step, double bytes) {
    const bool device = config_.home == ExpertHome::disk;
    ensure(!device || profile_.disk.has_value(), "the profile has a disk");
    const KernelTimes& disk = device ? *profile_.disk : profile_.page_cache;
    const double slots = bytes * static_cast<double>(config_.ranks * config_.cache_experts);
    const auto touched = static_cast<double>(plan_.touched_bytes());
    const KernelCall call{1.0, bytes, 0.0, bytes, touched + std::min(slots, touched)};
    const double alone = disk.alone_s(call);
    const double both = disk.core_s(call) * disk.contention + disk.both_memory_s(call);
    add_part(step, alone, both, threads_ + 2, true);
    made_.disk_bytes += bytes;
    ++made_.disk_reads;
  }

  const MoePlan& plan_;
  const MoeConfig& config_;
  const HostProfile& profile_;
  int threads_ = 1;
  std::vector<Sets> sets_;          // by rank
  std::vector<LruIndex> caches_;    // by rank
  std::vector<int> expert_thread_;  // by rank: who reads dispatched rows and writes results
  LoweredPlan made_;
};

}  // namespace

LoweredPlan lower_plan(const MoePlan& plan, const HostProfile& profile) {
  return Lowering(plan, profile).run();
}

LayerTimes run_lowered(const LoweredPlan& lowered, const MoePlan& plan) {
  const RunResult result = make_fast_backend()->run(lowered.graph, true);
  LayerTimes times;
  times.step_s = result.makespan_s;
  std::size_t segment = 0;
  const double ranks = plan.config.ranks;
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    const TaskTimes& task = result.tasks[s];
    times.phase_s.at(static_cast<std::size_t>(plan.steps[s].kind)) +=
        (task.end_s - task.start_s) / ranks;
    double before = task.start_s;
    for (const bool disk : lowered.is_disk_segment[s]) {
      const double end = result.segment_ends_s[segment++];
      times.disk_s += disk ? (end - before) / ranks : 0.0;
      before = end;
    }
  }
  return times;
}

LayerTimes predict(const MoePlan& plan, const HostProfile& profile) {
  return run_lowered(lower_plan(plan, profile), plan);
}

double naive_seconds(const MoePlan& plan, const HostProfile& profile) {
  const MoeConfig& c = plan.config;
  const auto hidden = static_cast<double>(c.shape.hidden);
  double seconds = 0.0;
  for (const auto& layer : plan.plan) {
    for (const MoeLayerPlan& batch : layer) {
      double slowest = 0.0;
      for (std::size_t rank = 0; rank < batch.experts.size(); ++rank) {
        double time = 0.0;
        for (const ExpertRows& rows : batch.experts[rank]) {
          const auto weights = static_cast<double>(c.shape.weights());
          time += std::max(2.0 * rows.rows * weights / profile.peak_flops_per_s,
                           4.0 * weights / profile.peak_bytes_per_s);
        }
        // Rows are read and written by dispatch and combine.
        time += 16.0 * hidden * batch.rows[rank] / profile.peak_bytes_per_s;
        slowest = std::max(slowest, time);
      }
      seconds += slowest;
    }
  }
  return seconds;
}

}  // namespace moesim
