#include "sim/training/pipelines/stage_paths.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/training/pipelines/pipelines.h"

namespace moesim {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

// How far a micro-batch is.
struct Traveller {
  std::size_t place = 0;  // of its path: the pass that is next
  bool back = false;
  bool done = false;
  double ready_s = 0.0;  // its tensors have come to the stage
};

class ListScheduler {
 public:
  explicit ListScheduler(const PathPlan& plan)
      : plan_(plan), free_s_(plan.part.size()), travellers_(plan.path.size()) {
    result_.schedule.part = plan.part;
    result_.schedule.path = plan.path;
    result_.schedule.actions.resize(plan.part.size());
    for (const auto& chunks : plan.part) {
      slots_.emplace_back(chunks.size());
    }
    make_slots();
  }

  PathSchedule run(const std::string& where) {
    std::size_t left = 0;
    for (const auto& path : plan_.path) {
      left += 2 * path.size();
    }
    for (; left > 0; --left) {
      const std::size_t next = first_to_start();
      if (next == travellers_.size()) {
        throw ConfigError(where,
                          "micro-batches wait for each other's activations for ever; "
                          "allow stages to keep more of them");
      }
      take(next);
    }
    return std::move(result_);
  }

 private:
  void make_slots() {
    for (const auto& path : plan_.path) {
      for (std::size_t i = 0; i < path.size(); ++i) {
        ensure(path[i].stage >= 0 && at(path[i].stage) < slots_.size() && path[i].chunk >= 0 &&
                   at(path[i].chunk) < slots_[at(path[i].stage)].size(),
               "a path's places exist");
        auto& slots = slots_[at(path[i].stage)][at(path[i].chunk)];
        slots.resize(std::max(slots.size(), path.size() - i));
      }
    }
    for (std::size_t s = 0; s < plan_.slots.size(); ++s) {
      for (std::size_t c = 0; c < plan_.slots[s].size(); ++c) {
        slots_.at(s).at(c).assign(at(plan_.slots[s][c]), 0.0);
      }
    }
  }
  [[nodiscard]] const ChunkPlace& place_of(std::size_t traveller) const {
    return plan_.path[traveller][travellers_[traveller].place];
  }
  [[nodiscard]] double send_s(std::int32_t from, std::int32_t to) const {
    if (from == to || plan_.send.empty()) {
      return 0.0;
    }
    return plan_.send.size() == 1 ? plan_.send.front().front().si()
                                  : plan_.send.at(at(from)).at(at(to)).si();
  }
  std::vector<double>& slots_of(const ChunkPlace& place) {
    return slots_[at(place.stage)][at(place.chunk)];
  }
  double start_s(std::size_t i) {
    const Traveller& traveller = travellers_[i];
    const ChunkPlace& place = place_of(i);
    double start = std::max(traveller.ready_s, free_s_[at(place.stage)]);
    if (!traveller.back) {
      const auto& slots = slots_of(place);
      start = slots.empty() ? never : std::max(start, *std::ranges::min_element(slots));
    }
    return start;
  }
  // travellers_.size(): none can.
  std::size_t first_to_start() {
    std::size_t best = travellers_.size();
    auto best_key = std::tuple(never, true, never);
    for (std::size_t i = 0; i < travellers_.size(); ++i) {
      if (travellers_[i].done) {
        continue;
      }
      const auto key = std::tuple(start_s(i), !travellers_[i].back, travellers_[i].ready_s);
      if (std::get<0>(key) < never && key < best_key) {
        best_key = key;
        best = i;
      }
    }
    return best;
  }
  void take(std::size_t i) {
    Traveller& traveller = travellers_[i];
    const ChunkPlace place = place_of(i);
    const double start = start_s(i);
    const PartTimes& times =
        plan_.parts[plan_.parts.size() == 1 ? 0 : at(plan_.part[at(place.stage)][at(place.chunk)])];
    const double end = start + (traveller.back ? times.backward() : times.forward).si();
    result_.schedule.actions[at(place.stage)].push_back(
        {.pass = traveller.back ? Pass::backward : Pass::forward,
         .micro_batch = static_cast<std::int32_t>(i),
         .chunk = place.chunk});
    result_.makespan = std::max(result_.makespan, Seconds(end));
    free_s_[at(place.stage)] = end > start ? end + plan_.pause.si() : end;
    auto& slots = slots_of(place);
    // A slot is taken at a forward, and free again after some backward of the place.
    if (traveller.back) {
      *std::ranges::find(slots, never) = end;
    } else {
      *std::ranges::min_element(slots) = never;
    }
    go_on(traveller, plan_.path[i]);
    traveller.ready_s = traveller.done ? end : end + send_s(place.stage, place_of(i).stage);
  }
  static void go_on(Traveller& traveller, const std::vector<ChunkPlace>& path) {
    if (!traveller.back && traveller.place + 1 < path.size()) {
      ++traveller.place;
    } else if (!traveller.back) {
      traveller.back = true;
    } else if (traveller.place > 0) {
      --traveller.place;
    } else {
      traveller.done = true;
    }
  }

  const PathPlan& plan_;
  std::vector<std::vector<std::vector<double>>> slots_;  // [stage][chunk]: free from then on
  std::vector<double> free_s_;                           // by stage
  std::vector<Traveller> travellers_;                    // by micro-batch
  PathSchedule result_;
};

std::vector<ChunkPlace> path_through(const std::vector<std::int32_t>& stages, int stage_count,
                                     const std::string& where) {
  std::vector<ChunkPlace> path;
  for (const std::int32_t stage : stages) {
    const ChunkPlace place{.stage = stage, .chunk = 0};
    if (stage < 0 || stage >= stage_count || std::ranges::find(path, place) != path.end()) {
      throw ConfigError(where, "a path visits each of its stages once; stages are 0 to " +
                                   std::to_string(stage_count - 1));
    }
    path.push_back(place);
  }
  if (path.empty() || path.front().stage != 0 || path.back().stage != stage_count - 1) {
    throw ConfigError(where,
                      "a path starts at stage 0, which has the embedding, and ends at the "
                      "last, which has the head");
  }
  return path;
}

PipelineSchedule make(const PipelineShape& shape, const std::string& where) {
  PipelineShape straight = shape;
  straight.paths.clear();
  PipelineSchedule schedule = straight_pipeline(straight, "paths", false, where);
  for (std::size_t m = 0; m < schedule.path.size() && !shape.paths.empty(); ++m) {
    schedule.path[m] = path_through(shape.paths[m % shape.paths.size()], shape.stages, where);
  }
  const PathPlan plan{
      .part = schedule.part,
      .path = schedule.path,
      .parts = {{.forward = Seconds(1), .input_grad = Seconds(1), .weight_grad = Seconds(1)}},
      .send = {},
      .pause = {},
      .slots = {}};
  return schedule_paths(plan, where).schedule;
}

}  // namespace

PathSchedule schedule_paths(const PathPlan& plan, const std::string& where) {
  return ListScheduler(plan).run(where);
}

PipelineEntry stage_paths_entry() {
  return {.name = "paths",
          .summary =
              "every micro-batch has its own stages (SkipPipe), in turns over the given paths;"
              " orders by list scheduling",
          .make = make};
}

}  // namespace moesim
