#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/training/pipeline.h"

namespace moesim {
namespace {

constexpr ActionPlace nowhere{.stage = -1, .index = -1};

bool gives_input_gradients(Pass pass) { return pass == Pass::backward || pass == Pass::input_grad; }

// The passes of one micro-batch at one place of its path.
struct PlacePasses {
  ActionPlace forward = nowhere;
  ActionPlace backward = nowhere;  // or input gradients
  ActionPlace weight_grad = nowhere;
};

// [micro-batch][place of its path]
using PassTable = std::vector<std::vector<PlacePasses>>;

void note_once(ActionPlace& known, ActionPlace place) {
  ensure(known == nowhere, "a pass runs once at every place of a micro-batch's path");
  known = place;
}

std::size_t place_on_path(const PipelineSchedule& schedule, std::int32_t stage,
                          const PipelineAction& action) {
  ensure(action.micro_batch >= 0 && action.micro_batch < schedule.micro_batches(),
         "a pass is of a micro-batch that exists");
  const auto& path = schedule.path[at(action.micro_batch)];
  const auto found = std::ranges::find(path, ChunkPlace{.stage = stage, .chunk = action.chunk});
  ensure(found != path.end(), "a pass runs at a place of its micro-batch's path");
  return at(found - path.begin());
}

PassTable pass_table(const PipelineSchedule& schedule) {
  PassTable table;
  for (const auto& path : schedule.path) {
    table.emplace_back(path.size());
  }
  for (std::int32_t stage = 0; stage < schedule.stages(); ++stage) {
    const auto& order = schedule.actions[at(stage)];
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(order.size()); ++i) {
      const PipelineAction& action = order[at(i)];
      // First, since it refuses micro-batches that do not exist.
      const std::size_t on_path = place_on_path(schedule, stage, action);
      PlacePasses& passes = table[at(action.micro_batch)][on_path];
      const ActionPlace place{.stage = stage, .index = i};
      if (action.pass == Pass::forward) {
        note_once(passes.forward, place);
      } else if (gives_input_gradients(action.pass)) {
        note_once(passes.backward, place);
      } else {
        note_once(passes.weight_grad, place);
      }
    }
  }
  return table;
}

void check_complete(const PipelineSchedule& schedule, const PassTable& table) {
  for (const auto& path : table) {
    for (const PlacePasses& passes : path) {
      ensure(passes.forward != nowhere && passes.backward != nowhere,
             "every micro-batch runs forwards and backwards at every place of its path");
      const Pass backward =
          schedule.actions[at(passes.backward.stage)][at(passes.backward.index)].pass;
      ensure((backward == Pass::input_grad) == (passes.weight_grad != nowhere),
             "weight gradients run where the backward gave input gradients alone");
    }
  }
}

void check_places(const PipelineSchedule& schedule) {
  ensure(schedule.part.size() == schedule.actions.size(), "every stage has chunks and an order");
  for (const auto& path : schedule.path) {
    ensure(!path.empty(), "every micro-batch has a path");
    for (std::size_t i = 0; i < path.size(); ++i) {
      const ChunkPlace& place = path[i];
      ensure(place.stage >= 0 && place.stage < schedule.stages(), "a path's stages exist");
      ensure(place.chunk >= 0 && at(place.chunk) < schedule.part[at(place.stage)].size(),
             "a path's chunks exist");
      ensure(std::find(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(i), place) ==
                 path.begin() + static_cast<std::ptrdiff_t>(i),
             "a path visits a place once");
    }
  }
}

void check_pairs(const PipelineSchedule& schedule) {
  for (const auto& order : schedule.actions) {
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (!order[i].beside_next) {
        continue;
      }
      ensure(i + 1 < order.size() && !order[i + 1].beside_next, "a pair is two actions");
      const bool forward = order[i].pass == Pass::forward;
      ensure(forward != (order[i + 1].pass == Pass::forward), "a pair is a forward and a backward");
    }
  }
}

// Runs the orders of all stages as far as they go: pairs start together, when both may.
class OrderRun {
 public:
  OrderRun(const PipelineSchedule& schedule, const PassSources& sources)
      : schedule_(schedule), sources_(sources), done_(at(schedule.stages())) {}

  std::vector<ActionPlace> run() {
    std::size_t all = 0;
    for (const auto& order : schedule_.actions) {
      all += order.size();
    }
    std::vector<ActionPlace> result;
    result.reserve(all);
    for (std::size_t before = 0; result.size() < all; before = result.size()) {
      for (std::int32_t stage = 0; stage < schedule_.stages(); ++stage) {
        while (advance(stage, result)) {
        }
      }
      ensure(result.size() > before, "the orders of the stages do not deadlock");
    }
    return result;
  }

 private:
  [[nodiscard]] bool may_start(std::int32_t stage, std::int32_t index) const {
    const auto& source = sources_[at(stage)][at(index)];
    return !source || source->place.index < done_[at(source->place.stage)];
  }
  bool advance(std::int32_t stage, std::vector<ActionPlace>& result) {
    const auto& order = schedule_.actions[at(stage)];
    std::int32_t& next = done_[at(stage)];
    if (at(next) == order.size()) {
      return false;
    }
    const std::int32_t count = order[at(next)].beside_next ? 2 : 1;
    for (std::int32_t i = 0; i < count; ++i) {
      if (!may_start(stage, next + i)) {
        return false;
      }
    }
    for (std::int32_t i = 0; i < count; ++i) {
      result.push_back({.stage = stage, .index = next++});
    }
    return true;
  }

  const PipelineSchedule& schedule_;
  const PassSources& sources_;
  std::vector<std::int32_t> done_;  // by stage: how many of its actions
};

}  // namespace

PassSources pass_sources(const PipelineSchedule& schedule) {
  const PassTable table = pass_table(schedule);
  PassSources sources(at(schedule.stages()));
  for (std::size_t s = 0; s < sources.size(); ++s) {
    sources[s].resize(schedule.actions[s].size());
  }
  const auto set = [&sources](ActionPlace user, ActionPlace source) {
    ensure(source != nowhere, "what a pass works on has a pass of its own");
    sources[at(user.stage)][at(user.index)] =
        PassSource{.place = source, .crosses = source.stage != user.stage};
  };
  for (const auto& path : table) {
    for (std::size_t i = 0; i < path.size(); ++i) {
      if (i > 0 && path[i].forward != nowhere) {
        set(path[i].forward, path[i - 1].forward);
      }
      if (path[i].backward != nowhere) {
        set(path[i].backward, i + 1 < path.size() ? path[i + 1].backward : path[i].forward);
      }
      if (path[i].weight_grad != nowhere) {
        set(path[i].weight_grad, path[i].backward);
      }
    }
  }
  return sources;
}

std::vector<ActionPlace> pipeline_order(const PipelineSchedule& schedule,
                                        const PassSources& sources) {
  return OrderRun(schedule, sources).run();
}

void check_pipeline(const PipelineSchedule& schedule) {
  check_places(schedule);
  check_complete(schedule, pass_table(schedule));
  check_pairs(schedule);
  pipeline_order(schedule, pass_sources(schedule));
}

std::vector<int> kept_activations(const PipelineSchedule& schedule) {
  std::vector<int> most;
  for (const auto& order : schedule.actions) {
    int kept = 0;
    int peak = 0;
    for (const PipelineAction& action : order) {
      if (action.pass == Pass::forward) {
        peak = std::max(peak, ++kept);
      } else if (action.pass != Pass::input_grad) {
        --kept;
      }
    }
    most.push_back(peak);
  }
  return most;
}

}  // namespace moesim
