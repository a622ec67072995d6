// A pipeline whose micro-batches go their own ways (SkipPipe, arXiv:2502.19913), timed by list
// scheduling over given times:
// {"stages": [[part, ...], ...], "paths": [[[stage, chunk], ...], ...], "micro_batches": n,
//  "parts": [{"forward", "backward"}, ...], "send": [[seconds, ...], ...], "pause",
//  "slots": [[n, ...], ...]}
#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/reproduce/run_kinds.h"
#include "sim/training/pipelines/stage_paths.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t k_most = 10'000;

// A list of lists of numbers >= 0.
std::vector<std::vector<double>> table(ConfigObject& object, const std::string& key) {
  const Json* value = object.raw(key);
  std::vector<std::vector<double>> rows;
  if (value == nullptr) {
    return rows;
  }
  const auto is_row = [](const Json& row) {
    return row.is_array() && std::ranges::all_of(row, [](const Json& x) {
             return x.is_number() && x.get<double>() >= 0 && x.get<double>() <= 1e9;
           });
  };
  if (!value->is_array() || !std::ranges::all_of(*value, is_row)) {
    object.fail(key, "is no list of lists of numbers from 0 to 1e9");
  }
  return value->get<std::vector<std::vector<double>>>();
}

template <class To>
std::vector<std::vector<To>> converted(const std::vector<std::vector<double>>& rows) {
  std::vector<std::vector<To>> result;
  for (const std::vector<double>& row : rows) {
    result.emplace_back();
    for (const double x : row) {
      result.back().push_back(static_cast<To>(x));
    }
  }
  return result;
}

void parse_ways(ConfigObject& root, PathPlan& plan) {
  std::vector<std::vector<ChunkPlace>> ways;
  const Json* paths = root.raw("paths");
  if (paths == nullptr || !paths->is_array() || paths->empty()) {
    root.fail("paths", "is no list of paths [[stage, chunk], ...]");
  }
  for (const Json& path : *paths) {
    ways.emplace_back();
    for (const Json& place : path) {
      const auto below = [](const Json& index, std::size_t count) {
        return index.is_number_integer() && index.get<std::int64_t>() >= 0 &&
               index.get<std::size_t>() < count;
      };
      const bool known = place.is_array() && place.size() == 2 &&
                         below(place[0], plan.part.size()) &&
                         below(place[1], plan.part[place[0].get<std::size_t>()].size());
      if (!known) {
        root.fail("paths", place.dump() + " is no [stage, chunk] of the stages");
      }
      ways.back().push_back({place[0].get<int>(), place[1].get<int>()});
    }
    if (ways.back().empty()) {
      root.fail("paths", "holds a path without places");
    }
  }
  const std::int64_t micro_batches = root.integer("micro_batches", 1, k_most);
  for (std::int64_t m = 0; m < micro_batches; ++m) {
    plan.path.push_back(ways[static_cast<std::size_t>(m) % ways.size()]);
  }
}

}  // namespace

RunReport run_paths(const ScenarioDocument& document, const std::string& name,
                    const Library& /*library*/) {
  ConfigObject root(document.json, name + "#");
  PathPlan plan;
  plan.part = converted<std::int32_t>(table(root, "stages"));
  if (plan.part.empty()) {
    root.fail("stages", "is empty; the parts of each stage are needed, such as [[0], [1]]");
  }
  for (ConfigObject part : root.objects("parts")) {
    plan.parts.push_back(
        {part.non_negative<Seconds>("forward"), part.non_negative<Seconds>("backward"), Seconds{}});
    part.reject_unknown_keys();
  }
  std::size_t parts = 0;
  for (const auto& stage : plan.part) {
    for (const std::int32_t part : stage) {
      parts = std::max(parts, static_cast<std::size_t>(part) + 1);
    }
  }
  if (plan.parts.size() != 1 && plan.parts.size() != parts) {
    root.fail("parts", "needs one entry, or one for each of " + std::to_string(parts) + " parts");
  }
  parse_ways(root, plan);
  for (const std::vector<double>& row : table(root, "send")) {
    plan.send.emplace_back();
    for (const double seconds : row) {
      plan.send.back().emplace_back(seconds);
    }
    if (row.size() != plan.part.size()) {
      root.fail("send", "is no square: a row and a column for each stage");
    }
  }
  if (!plan.send.empty() && plan.send.size() != plan.part.size()) {
    root.fail("send", "is no square: a row and a column for each stage");
  }
  plan.pause = root.non_negative<Seconds>("pause", Seconds{});
  plan.slots = converted<int>(table(root, "slots"));
  if (!plan.slots.empty() && plan.slots.size() != plan.part.size()) {
    root.fail("slots", "needs a list for each stage");
  }
  for (std::size_t s = 0; s < plan.slots.size(); ++s) {
    if (plan.slots[s].size() != plan.part[s].size()) {
      root.fail("slots", "needs a number for each part of a stage");
    }
  }
  root.reject_unknown_keys();
  const PathSchedule schedule = schedule_paths(plan, name + "#");
  return {std::make_shared<const Json>(Json{{"makespan_s", schedule.makespan.si()}}),
          document.warnings};
}

}  // namespace moesim
