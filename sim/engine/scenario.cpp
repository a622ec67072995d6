#include "sim/engine/scenario.h"

#include <algorithm>
#include <array>
#include <utility>

#include "placement/solver.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/engine/exchange/all_to_all.h"
#include "sim/engine/placement_problem.h"
#include "sim/engine/scenario_sections.h"
#include "sim/engine/scenario_workload.h"

namespace moesim {
namespace {

// Operations that steps run, by a library's name.
constexpr std::array<std::string_view, 3> collective_keys{"default", "all_reduce", "all_gather"};
constexpr std::array<std::string_view, 2> residencies{"home", "last_expert"};
constexpr std::array<std::string_view, 2> routing_uses{"tokens", "expected"};
constexpr std::int64_t most_tokens = 1 << 24;  // of placement statistics
constexpr int most_ranks = 1 << 14;

constexpr std::array<std::pair<std::string_view, std::string_view>, 3> not_cut_yet{
    {{"cp", "a sequence is not cut over ranks yet; use tp or dp"},
     {"pp", "layers are not cut over pipeline stages yet; use tp or dp"},
     {"vpp", "there is one pipeline stage, and its layers are not cut into parts"}}};

template <class Table>
std::vector<std::string_view> names_of(const Table& table) {
  std::vector<std::string_view> names;
  for (const auto& entry : table) {
    names.push_back(entry.name);
  }
  return names;
}

// Cuts that training iterations have and steps have not.
void parse_iteration_cuts(ConfigObject& attention, RankCuts cuts, Parallelism& p) {
  if (cuts == RankCuts::iteration) {
    p.attention_cp = static_cast<int>(attention.integer_or("cp", 1, 1, most_ranks));
    p.pp = static_cast<int>(attention.integer_or("pp", 1, 1, most_ranks));
    p.vpp = static_cast<int>(attention.integer_or("vpp", 1, 1, most_ranks));
    return;
  }
  for (const auto& [key, why] : not_cut_yet) {
    if (attention.has(key) && attention.integer(key, 1, most_ranks) != 1) {
      attention.fail(key, "is 1 in steps: " + std::string(why));
    }
  }
}

}  // namespace

Parallelism parse_parallelism(ConfigObject& object, RankCuts cuts) {
  Parallelism p;
  ConfigObject attention = object.object("attention");
  p.attention_tp = static_cast<int>(attention.integer_or("tp", 1, 1, most_ranks));
  p.attention_dp = static_cast<int>(attention.integer_or("dp", 1, 1, most_ranks));
  parse_iteration_cuts(attention, cuts, p);
  attention.reject_unknown_keys();
  if (auto experts = object.object_if("experts")) {
    p.expert_tp = static_cast<int>(experts->integer_or("etp", 1, 1, most_ranks));
    p.expert_ep = static_cast<int>(experts->integer_or("ep", 1, 1, most_ranks));
    p.expert_dp = static_cast<int>(experts->integer_or("edp", 1, 1, most_ranks));
    experts->reject_unknown_keys();
  } else {  // dense models: the expert map follows attention's
    p.expert_tp = p.attention_tp;
    p.expert_dp = p.attention_cp * p.attention_dp;
  }
  const auto attention_ranks = std::int64_t{p.attention_tp} * p.attention_cp * p.attention_dp;
  const auto expert_ranks = std::int64_t{p.expert_tp} * p.expert_ep * p.expert_dp;
  if (attention_ranks != expert_ranks) {
    object.fail("experts",
                "etp * ep * edp = " + std::to_string(expert_ranks) + " ranks, but attention's " +
                    (cuts == RankCuts::iteration ? "tp * cp * dp = " : "tp * dp = ") +
                    std::to_string(attention_ranks) + "; both maps cover the same ranks");
  }
  if (cuts == RankCuts::step && p.attention_tp % p.expert_tp != 0) {
    throw ConfigError(object.where("experts") + "/etp",
                      "does not divide attention's tp (" + std::to_string(p.attention_tp) +
                          "); an expert is sliced over ranks that share their tokens");
  }
  return p;
}

namespace {

PlacementChoice parse_placement(ConfigObject object) {
  PlacementChoice choice;
  if (object.has("file")) {
    choice.file = object.text("file");
    for (const char* key :
         {"policy", "redundant_experts", "comm_model", "statistics", "statistics_tokens"}) {
      if (object.has(key)) {
        object.fail(key,
                    "says how to place experts, but the placement is that of a file; leave "
                    "out one of them");
      }
    }
    object.reject_unknown_keys();
    return choice;
  }
  choice.policy = object.choice_or("policy", "contiguous", names_of(placement_solvers()));
  choice.redundant_experts =
      static_cast<int>(object.integer_or("redundant_experts", 0, 0, most_ranks));
  // Echoed only where they say something: fixed rules look at no statistics.
  if (object.has("comm_model")) {
    constexpr std::array<std::string_view, 3> models{"none", "interlayer", "dispatch"};
    choice.comm_model = parse_comm_model(object.choice("comm_model", models));
  }
  if (object.has("statistics")) {
    constexpr std::array<std::string_view, 2> kinds{"tokens", "expected"};
    choice.expected_statistics = object.choice("statistics", kinds) == "expected";
    if (choice.expected_statistics && choice.comm_model != CommModel::none) {
      object.fail("statistics", R"("expected" knows loads alone; use "tokens" with a comm_model)");
    }
  }
  choice.statistics_tokens = object.has("statistics_tokens")
                                 ? object.integer("statistics_tokens", 1, most_tokens)
                                 : k_statistics_tokens;
  object.reject_unknown_keys();
  return choice;
}

// A number of chunks, or "adaptive": 0.
int parse_degree(ConfigObject& overlap) {
  constexpr std::string_view adaptive = "adaptive";
  const nlohmann::json* given = overlap.raw("degree");
  if (given != nullptr && given->is_number()) {
    return static_cast<int>(overlap.integer("degree", 1, k_most_degree));
  }
  constexpr std::array<std::string_view, 1> words{adaptive};
  overlap.choice_or("degree", adaptive, words);
  return 0;
}

// A schedule's name, or {"schedule": name, ...} with its options.
void parse_overlap(ConfigObject& object, Policy& policy) {
  const std::string where = object.where("overlap");
  const bool options = object.has("overlap") && object.json().at("overlap").is_object();
  if (!options) {
    policy.overlap = object.choice_or("overlap", "none", names_of(overlap_policies()));
    return;
  }
  ConfigObject overlap = object.object("overlap");
  policy.overlap = overlap.choice("schedule", names_of(overlap_policies()));
  const OverlapEntry& entry = find_overlap(policy.overlap, where);
  constexpr std::array<std::string_view, 2> kinds{"auto", "none"};
  policy.overlap_options.interference = overlap.choice_or("interference", "auto", kinds) == "auto";
  if (entry.has_split_option) {
    policy.overlap_options.attention_split = overlap.boolean_or("attention_split", false);
  } else if (overlap.has("attention_split")) {
    overlap.fail("attention_split", "is an option of two_batch");
  }
  if (has_degree(entry)) {
    policy.overlap_options.degree = parse_degree(overlap);
  } else if (overlap.has("degree")) {
    overlap.fail("degree", "is an option of chunked and three_stream");
  }
  overlap.reject_unknown_keys();
}

std::string library_name(ConfigObject& object, std::string_view key) {
  std::string name = object.text_or(key, k_auto_library);
  if (name.empty()) {
    object.fail(key, "is empty; name a library, such as nccl, or auto");
  }
  return name;
}

// A library's name for every operation, or an object with one per operation.
std::map<std::string, std::string> parse_collectives(ConfigObject& object) {
  const nlohmann::json* given = object.raw("collectives");
  if (given == nullptr || !given->is_object()) {
    return {{"default", library_name(object, "collectives")}};
  }
  ConfigObject choices = object.object("collectives");
  std::map<std::string, std::string> libraries;
  for (const std::string_view key : collective_keys) {
    if (choices.raw(key) != nullptr || key == "default") {
      libraries[std::string(key)] = library_name(choices, key);
    }
  }
  choices.reject_unknown_keys();
  return libraries;
}

// Do the ranks of an expert group have the same tokens, those of one attention group?
bool shares_tokens(const Parallelism& p) {
  return p.expert_ep > 1 && p.expert_ep * p.expert_tp == p.attention_tp;
}

// "auto", a framework or a version for every operation, or an object with one per operation. Which
// there are is the library's affair.
KernelWishes parse_kernels(ConfigObject& object) {
  KernelWishes wishes;
  const nlohmann::json* given = object.raw("kernels");
  std::string& usual = wishes.by_operation["default"];
  if (given == nullptr || !given->is_object()) {
    usual = object.text_or("kernels", usual);
    return wishes;
  }
  ConfigObject choices = object.object("kernels");
  usual = choices.text_or("default", usual);
  for (const std::string& operation : choices.keys()) {
    const auto known = kernel_operations();
    if (std::ranges::find(known, operation) == known.end()) {
      choices.fail(operation, "is no operation; known here: " +
                                  joined(std::vector<std::string>(known.begin(), known.end())));
    }
    wishes.by_operation[operation] = choices.text(operation);
  }
  choices.reject_unknown_keys();
  return wishes;
}

// A list's name, "none", or sizes. By default the list of the framework whose kernels are asked
// for, vLLM's where that is left open.
BatchPadding parse_batch_padding(ConfigObject& object, const std::string& framework) {
  constexpr std::int64_t most_sequences = 1 << 20;
  BatchPadding padding;
  const nlohmann::json* given = object.raw("batch_padding");
  if (given != nullptr && given->is_array()) {
    padding.name = "sizes";
    padding.sizes = object.integers("batch_padding", 1, most_sequences);
    if (padding.sizes.empty() ||
        !std::ranges::is_sorted(padding.sizes, std::ranges::less_equal())) {
      object.fail("batch_padding", "needs ascending sizes; use \"none\" for no padding");
    }
    return padding;
  }
  std::vector<std::string_view> names = names_of(capture_lists());
  names.insert(names.begin(), "none");
  const std::string usual = framework.empty() ? "vllm" : framework;
  const bool known = find_capture_list(usual) != nullptr;
  padding.name = object.choice_or("batch_padding", known ? usual : "none", names);
  if (const CaptureList* list = find_capture_list(padding.name)) {
    padding.sizes = list->sizes;
  }
  return padding;
}

// An algorithm, or a library's variant of one: "deepep_low_latency.uccl". Which variants somebody
// measured is the library's affair.
std::string parse_all_to_all(ConfigObject& object, std::string_view usual) {
  std::string name = object.text_or("all_to_all", usual);
  static_cast<void>(find_all_to_all_algorithm(name, object.where("all_to_all")));
  return name;
}

// Low-latency kernels are for decoding's few tokens; prompts take the normal ones, as engines
// choose by phase (DeepEP's README, 2025).
std::string_view usual_all_to_all(const Workload& workload) {
  const bool prompts = workload.prefill_tokens > 0 ||
                       std::ranges::any_of(workload.batches, [](const RankBatch& rank) {
                         return rank.prefill_tokens() > 0;
                       });
  return prompts ? "deepep_normal" : "deepep_low_latency";
}

}  // namespace

void parse_kernels_and_exchanges(ConfigObject& object, std::string_view usual, Policy& policy) {
  policy.all_to_all = parse_all_to_all(object, usual);
  if (object.has("all_to_all_link_rate")) {
    policy.all_to_all_link_rate = object.positive<Bandwidth>("all_to_all_link_rate");
  }
  policy.kernels = parse_kernels(object);
  policy.collectives = parse_collectives(object);
  policy.dispatch = object.dtype_or("dispatch", DType::bf16);
  policy.combine = object.dtype_or("combine", DType::bf16);
  const nlohmann::json* precision = object.raw("precision");
  nlohmann::json used;
  policy.precision = parse_precision(precision == nullptr ? nlohmann::json("bf16") : *precision,
                                     object.where("precision"), &used);
  object.set_effective("precision", used);
}

namespace {

Policy parse_policy(ConfigObject object, const Scenario& scenario) {
  const Parallelism& parallelism = scenario.parallelism;
  Policy policy;
  // Engines without attention data parallelism exchange nothing.
  const bool no_exchange = parallelism.attention_dp == 1 && shares_tokens(parallelism);
  parse_kernels_and_exchanges(
      object, no_exchange ? k_tp_allreduce : usual_all_to_all(scenario.workload), policy);
  if (policy.all_to_all == k_tp_allreduce && !shares_tokens(parallelism)) {
    object.fail("all_to_all",
                "tp_allreduce needs every token on all ranks of an expert group: attention's tp "
                "must be ep * etp, with ep above 1; use an all-to-all, such as deepep_low_latency");
  }
  if (object.has("cuda_graphs")) {
    policy.cuda_graphs = object.boolean_or("cuda_graphs", true);
  }
  policy.batch_padding = parse_batch_padding(object, policy.framework());
  parse_overlap(object, policy);
  policy.residency = object.choice_or("token_residency", "home", residencies) == "home"
                         ? TokenResidency::home
                         : TokenResidency::last_expert;
  object.reject_unknown_keys();
  return policy;
}

RunOptions parse_run(ConfigObject object) {
  RunOptions run;
  constexpr int most_steps = 100'000;
  run.steps = static_cast<int>(object.integer_or("steps", 1, 1, most_steps));
  run.routing = object.choice_or("routing", "tokens", routing_uses) == "tokens"
                    ? RoutingUse::tokens
                    : RoutingUse::expected;
  object.reject_unknown_keys();
  return run;
}

// A section that may be left out: its defaults are read from an empty object, and echoed.
template <class Parse>
auto section_or_defaults(ConfigObject& root, std::string_view key, Parse parse) {
  static const nlohmann::json empty = nlohmann::json::object();
  if (auto given = root.object_if(key)) {
    return parse(*given);
  }
  nlohmann::json echoed;
  auto result = parse(ConfigObject(empty, root.where(key), &echoed));
  root.set_effective(key, echoed);
  return result;
}

}  // namespace

const std::string& Policy::collective_library(std::string_view operation) const {
  const auto found = collectives.find(std::string(operation));
  return found == collectives.end() ? collectives.at("default") : found->second;
}

std::string Policy::framework() const {
  const std::string& usual = kernels.by_operation.at("default");
  return usual == "auto" ? "" : usual.substr(0, usual.find('-'));
}

Scenario parse_scenario(const nlohmann::json& document, const std::string& name) {
  Scenario scenario;
  scenario.name = name;
  scenario.where = name + "#";
  ConfigObject root(document, scenario.where, &scenario.effective, &scenario.keys);
  const nlohmann::json* hardware = root.raw("hardware");
  const nlohmann::json* model = root.raw("model");
  if (hardware == nullptr) {
    root.fail("hardware", "is missing; a cluster's name, file or object is needed");
  }
  if (model == nullptr) {
    root.fail("model", "is missing; a model's name, file or object is needed");
  }
  scenario.hardware = *hardware;
  scenario.model = *model;
  scenario.workload = parse_workload(root.object("workload"));
  ConfigObject parallelism = root.object("parallelism");
  scenario.parallelism = parse_parallelism(parallelism, RankCuts::step);
  parallelism.reject_unknown_keys();
  scenario.placement = section_or_defaults(root, "placement", parse_placement);
  scenario.policy = section_or_defaults(root, "policy", [&scenario](ConfigObject object) {
    return parse_policy(std::move(object), scenario);
  });
  scenario.run = section_or_defaults(root, "run", parse_run);
  scenario.seed = static_cast<std::uint64_t>(root.integer_or("seed", 1, 0));
  root.reject_unknown_keys();
  return scenario;
}

}  // namespace moesim
