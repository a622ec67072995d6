#include "sim/training/train_scenario.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/engine/scenario_sections.h"
#include "sim/training/frameworks.h"
#include "sim/training/pipeline.h"

namespace moesim {
namespace {

constexpr std::int64_t most_sequences = 1 << 20;
constexpr std::int64_t longest_sequence = 1 << 24;
constexpr std::int64_t most_mtp_layers = 16;
constexpr std::int64_t most_instances = 1 << 14;
constexpr double largest_capacity = 1e3;
constexpr std::array<std::string_view, 1> workload_kinds{"train"};
constexpr std::array<std::string_view, 3> recompute_kinds{"none", "selective", "full"};
constexpr std::array<std::string_view, 7> known_modules{
    "moe_act", "layernorm", "mla_up_proj", "core_attn", "mlp", "moe", "shared_experts"};
constexpr std::array<std::string_view, 3> optimizer_kinds{"adam", "sgd", "muon"};
constexpr std::array<std::string_view, 2> gradient_formats{"fp32", "bf16"};
constexpr std::array<std::string_view, 3> state_formats{"fp32", "bf16", "fp8"};
constexpr std::array<std::string_view, 2> overlaps{"none", "one_f_one_b"};
constexpr std::array<std::string_view, 2> folds{"auto", "off"};

template <std::size_t N>
std::size_t index_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return static_cast<std::size_t>(std::ranges::find(names, name) - names.begin());
}

DType format_of(ConfigObject& object, std::string_view key, std::string_view usual,
                std::span<const std::string_view> allowed) {
  const std::string name = object.choice_or(key, usual, allowed);
  return parse_dtype(name, object.where(key));
}

void parse_recompute(ConfigObject& object, TrainWorkload& workload) {
  const bool named = !object.has("recompute") || !object.json().at("recompute").is_object();
  // Megatron-LM's default of selective recomputation.
  workload.recompute_modules = {"core_attn"};
  if (named) {
    workload.recompute = static_cast<Recompute>(
        index_of(recompute_kinds, object.choice_or("recompute", "none", recompute_kinds)));
  } else {
    ConfigObject recompute = object.object("recompute");
    workload.recompute = static_cast<Recompute>(
        index_of(recompute_kinds, recompute.choice("kind", recompute_kinds)));
    if (workload.recompute == Recompute::selective && recompute.has("modules")) {
      workload.recompute_modules = recompute.texts("modules");
    }
    for (const std::string& module : workload.recompute_modules) {
      if (std::ranges::find(known_modules, module) == known_modules.end()) {
        recompute.fail("modules", "\"" + module + "\" is not one of: " + joined(known_modules));
      }
    }
    recompute.reject_unknown_keys();
  }
  if (workload.recompute != Recompute::selective) {
    workload.recompute_modules.clear();
  }
}

void parse_optimizer(ConfigObject object, OptimizerChoice& optimizer) {
  optimizer.kind = static_cast<OptimizerKind>(
      index_of(optimizer_kinds, object.choice_or("kind", "adam", optimizer_kinds)));
  optimizer.master = format_of(object, "master_precision", "fp32", gradient_formats);
  optimizer.state = format_of(object, "state_precision", "fp32", state_formats);
  constexpr std::int64_t most = 3;
  optimizer.zero = static_cast<int>(object.integer_or("zero", 1, 0, most));
  optimizer.offload = object.boolean_or("offload", false);
  optimizer.instances = static_cast<int>(object.integer_or("instances", 1, 1, most_instances));
  object.reject_unknown_keys();
}

void parse_workload(ConfigObject object, TrainScenario& scenario) {
  TrainWorkload& workload = scenario.workload;
  static_cast<void>(object.choice("kind", workload_kinds));
  workload.global_batch = object.integer("global_batch", 1, most_sequences);
  workload.micro_batch = object.integer_or("micro_batch", 1, 1, most_sequences);
  workload.sequence = object.integer("sequence", 1, longest_sequence);
  parse_recompute(object, workload);
  if (object.has("offload_modules")) {
    workload.offload_modules = object.texts("offload_modules");
  }
  if (object.has("capacity_factor")) {
    constexpr double smallest = 1e-3;
    workload.capacity_factor = object.number("capacity_factor", smallest, largest_capacity);
  }
  scenario.routing = object.text_or("routing", "balanced");
  workload.routing =
      scenario.routing == "balanced" ? TrainRouting::forced_balance : TrainRouting::generated;
  workload.gradient = format_of(object, "gradient_precision", "fp32", gradient_formats);
  if (auto given = object.object_if("optimizer")) {
    parse_optimizer(*given, workload.optimizer);
  } else {
    nlohmann::json echoed;
    const nlohmann::json empty = nlohmann::json::object();
    parse_optimizer(ConfigObject(empty, object.where("optimizer"), &echoed), workload.optimizer);
    object.set_effective("optimizer", echoed);
  }
  workload.mtp_layers = static_cast<int>(object.integer_or("mtp_layers", 0, 0, most_mtp_layers));
  object.reject_unknown_keys();
}

// A schedule's name, or {"schedule": name, "layers": [per part]}.
void parse_pipeline(ConfigObject& object, TrainPolicy& policy, int chunks) {
  const std::string_view usual = chunks > 1 ? "interleaved" : "1f1b";
  if (!object.has("pipeline") || !object.json().at("pipeline").is_object()) {
    policy.pipeline = object.text_or("pipeline", usual);
    static_cast<void>(find_pipeline(policy.pipeline, object.where("pipeline")));
    return;
  }
  ConfigObject pipeline = object.object("pipeline");
  policy.pipeline = pipeline.text_or("schedule", usual);
  static_cast<void>(find_pipeline(policy.pipeline, pipeline.where("schedule")));
  if (pipeline.has("layers")) {
    constexpr std::int64_t most_layers = 1 << 14;
    for (const std::int64_t layers : pipeline.integers("layers", 0, most_layers)) {
      policy.layers.push_back(static_cast<int>(layers));
    }
  }
  pipeline.reject_unknown_keys();
}

// A framework's name, or {"name", "host_per_kernel_us", "slowdown"} with own coefficients.
void parse_framework(ConfigObject& object, TrainPolicy& policy) {
  if (!object.has("framework") || !object.json().at("framework").is_object()) {
    const std::string name = object.text_or("framework", "none");
    policy.framework = find_training_framework(name, object.where("framework"));
    return;
  }
  constexpr double most_us = 1e6;
  constexpr double most_slowdown = 100.0;
  ConfigObject framework = object.object("framework");
  const std::string name = framework.text("name");
  TrainingFramework& row = policy.framework;
  row = find_training_framework(name, framework.where("name"));
  row.host_per_kernel = Seconds(
      1e-6 * framework.number_or("host_per_kernel_us", 1e6 * row.host_per_kernel.si(), 0, most_us));
  row.slowdown = framework.number_or("slowdown", row.slowdown, 0.01, most_slowdown);
  framework.reject_unknown_keys();
}

void parse_policy(ConfigObject object, TrainScenario& scenario) {
  parse_kernels_and_exchanges(object, "expert_copies", scenario.base.policy);
  scenario.base.policy.cuda_graphs = false;
  scenario.base.policy.overlap = "none";
  parse_pipeline(object, scenario.policy, scenario.base.parallelism.vpp);
  scenario.policy.pairs_passes = object.choice_or("overlap", "none", overlaps) == "one_f_one_b";
  scenario.workload.overlap_gradients = object.boolean_or("overlap_gradients", true);
  scenario.workload.overlap_parameters = object.boolean_or("overlap_parameters", true);
  parse_framework(object, scenario.policy);
  object.reject_unknown_keys();
}

void parse_parallelism_section(ConfigObject object, TrainScenario& scenario) {
  Parallelism& p = scenario.base.parallelism;
  p = parse_parallelism(object, RankCuts::iteration);
  scenario.workload.sequence_parallel = object.boolean_or("sequence_parallel", p.attention_tp > 1);
  if (scenario.workload.sequence_parallel && p.attention_tp == 1) {
    object.fail("sequence_parallel", "cuts sequences over tp ranks, of which there is one");
  }
  object.reject_unknown_keys();
}

template <class Parse>
void section_or_defaults(ConfigObject& root, std::string_view key, Parse parse) {
  if (auto given = root.object_if(key)) {
    parse(*given);
    return;
  }
  const nlohmann::json empty = nlohmann::json::object();
  nlohmann::json echoed = nlohmann::json::object();
  parse(ConfigObject(empty, root.where(key), &echoed));
  root.set_effective(key, echoed);
}

}  // namespace

std::span<const std::string_view> recompute_modules() { return known_modules; }

bool is_training(const nlohmann::json& document) {
  if (!document.is_object() || !document.contains("workload")) {
    return false;
  }
  const nlohmann::json& workload = document.at("workload");
  return workload.is_object() && workload.contains("kind") && workload.at("kind") == "train";
}

TrainScenario parse_train_scenario(const nlohmann::json& document, const std::string& name) {
  TrainScenario scenario;
  Scenario& base = scenario.base;
  base.name = name;
  base.where = name + "#";
  ConfigObject root(document, base.where, &base.effective, &base.keys);
  for (const auto& [key, target] :
       {std::pair{"hardware", &base.hardware}, {"model", &base.model}}) {
    const nlohmann::json* given = root.raw(key);
    if (given == nullptr) {
      root.fail(key, "is missing; a name, file or object is needed");
    }
    *target = *given;
  }
  parse_workload(root.object("workload"), scenario);
  section_or_defaults(root, "parallelism", [&scenario](ConfigObject object) {
    parse_parallelism_section(std::move(object), scenario);
  });
  section_or_defaults(root, "policy", [&scenario](ConfigObject object) {
    parse_policy(std::move(object), scenario);
  });
  section_or_defaults(root, "run", [&scenario](ConfigObject object) {
    scenario.fold = object.choice_or("fold", "auto", folds) == "auto";
    object.reject_unknown_keys();
  });
  base.seed = static_cast<std::uint64_t>(root.integer_or("seed", 1, 0));
  root.reject_unknown_keys();
  return scenario;
}

TrainScenario parse_train_scenario(const ScenarioDocument& document, const std::string& name) {
  TrainScenario scenario = parse_train_scenario(document.json, name);
  scenario.base.warnings.insert(scenario.base.warnings.begin(), document.warnings.begin(),
                                document.warnings.end());
  return scenario;
}

}  // namespace moesim
