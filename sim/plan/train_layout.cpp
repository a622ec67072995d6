#include "sim/plan/train_layout.h"

#include <nlohmann/json.hpp>

namespace moesim {
namespace {

using Json = nlohmann::json;

void write_recompute(Json& workload, Recompute recompute) {
  const bool keeps_modules = recompute == Recompute::selective && workload.contains("recompute") &&
                             workload.at("recompute").is_object() &&
                             workload.at("recompute").value("kind", Json()) == "selective";
  if (!keeps_modules) {
    workload["recompute"] = name_of(recompute);
  }
}

// What is no object stays as it is: whoever reads the scenario says what would be right.
bool has_sections(const Json& scenario) {
  const auto is_object = [](const Json& parent, const char* key) {
    return !parent.contains(key) || parent.at(key).is_object();
  };
  return is_object(scenario, "parallelism") && is_object(scenario, "policy") &&
         is_object(scenario, "workload") &&
         (!scenario.contains("workload") || is_object(scenario.at("workload"), "optimizer"));
}

// Numbers of layers per part stay where they are of as many parts.
void write_pipeline(Json& policy, const TrainLayout& layout) {
  const auto parts = static_cast<std::size_t>(layout.parallelism.pp) *
                     static_cast<std::size_t>(layout.parallelism.vpp);
  if (policy.contains("pipeline") && policy.at("pipeline").is_object() &&
      policy.at("pipeline").contains("layers") &&
      policy.at("pipeline").at("layers").size() == parts) {
    policy["pipeline"]["schedule"] = layout.pipeline;
  } else {
    policy["pipeline"] = layout.pipeline;
  }
}

}  // namespace

std::string_view name_of(Recompute recompute) {
  switch (recompute) {
    case Recompute::none:
      return "none";
    case Recompute::selective:
      return "selective";
    case Recompute::full:
      return "full";
  }
  return "";
}

std::string describe(const TrainLayout& layout) {
  const Parallelism& p = layout.parallelism;
  std::string text;
  const auto add = [&text](std::string_view name, std::int64_t value) {
    text.append(text.empty() ? "" : " ").append(name).append(std::to_string(value));
  };
  add("TP", p.attention_tp);
  add("CP", p.attention_cp);
  add("DP", p.attention_dp);
  add("PP", p.pp);
  add("VPP", p.vpp);
  add("ETP", p.expert_tp);
  add("EP", p.expert_ep);
  add("EDP", p.expert_dp);
  add("mb", layout.micro_batch);
  text.append(" ").append(layout.pipeline).append(" recompute ").append(name_of(layout.recompute));
  add("zero ", layout.zero);
  return text;
}

Json scenario_with(Json scenario, const TrainLayout& layout) {
  const Parallelism& p = layout.parallelism;
  scenario.erase("search");
  if (!has_sections(scenario)) {
    return scenario;
  }
  Json& parallelism = scenario["parallelism"];
  parallelism["attention"] = {{"tp", p.attention_tp},
                              {"cp", p.attention_cp},
                              {"dp", p.attention_dp},
                              {"pp", p.pp},
                              {"vpp", p.vpp}};
  parallelism["experts"] = {{"etp", p.expert_tp}, {"ep", p.expert_ep}, {"edp", p.expert_dp}};
  if (p.attention_tp == 1) {
    parallelism.erase("sequence_parallel");  // there is nothing to cut sequences over
  }
  Json& workload = scenario["workload"];
  workload["micro_batch"] = layout.micro_batch;
  write_recompute(workload, layout.recompute);
  workload["optimizer"]["zero"] = layout.zero;
  write_pipeline(scenario["policy"], layout);
  return scenario;
}

std::int64_t micro_batches(const TrainLayout& layout, std::int64_t global_batch) {
  const std::int64_t at_once = layout.micro_batch * layout.parallelism.attention_dp;
  return global_batch % at_once == 0 ? global_batch / at_once : 0;
}

}  // namespace moesim
