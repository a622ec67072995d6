#include "sim/plan/search_space.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "models/network/moe_model_size.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/training/pipeline.h"

namespace moesim {
namespace {

constexpr std::int64_t most_micro_batch = 8;
constexpr std::array<Recompute, 3> recomputes{Recompute::none, Recompute::selective,
                                              Recompute::full};

std::vector<std::int64_t> divisors(std::int64_t number) {
  std::vector<std::int64_t> result;
  for (std::int64_t d = 1; d <= number; ++d) {
    if (number % d == 0) {
      result.push_back(d);
    }
  }
  return result;
}

bool allows(const std::vector<std::int64_t>& limits, std::int64_t value) {
  return limits.empty() || std::ranges::find(limits, value) != limits.end();
}

std::int64_t trained_layers(const MoeModel& model) {
  return static_cast<std::int64_t>(model.layers.size()) - model.mtp_layers;
}

// What holds whatever the other numbers are is asked once.
class ModelRules {
 public:
  explicit ModelRules(const MoeModel& model) : model_(model) {
    for (const Block& block : model.blocks) {
      if (const FfnGroup* moe = block.moe()) {
        experts_.push_back(moe->ffn_experts());
      }
    }
  }

  [[nodiscard]] bool cuts_attention(std::int64_t tp) {
    return known(attention_, tp,
                 {.attention = tp, .dense = tp, .shared = tp, .expert = 1, .vocabulary = tp});
  }
  [[nodiscard]] bool cuts_experts(std::int64_t etp) {
    return (has_experts() || etp == 1) && known(expert_, etp, {.expert = etp});
  }
  [[nodiscard]] bool divides_experts(std::int64_t ep) const {
    return has_experts()
               ? std::ranges::all_of(experts_, [ep](std::int64_t n) { return n % ep == 0; })
               : ep == 1;
  }
  [[nodiscard]] bool has_experts() const { return !experts_.empty(); }

 private:
  bool known(std::map<std::int64_t, bool>& answers, std::int64_t key, const TensorParallel& cut) {
    const auto found = answers.find(key);
    if (found != answers.end()) {
      return found->second;
    }
    bool legal = true;
    try {
      check_tensor_parallel(model_, cut, model_.name);
    } catch (const ConfigError&) {
      legal = false;
    }
    return answers.emplace(key, legal).first->second;
  }

  const MoeModel& model_;
  std::vector<std::int64_t> experts_;  // of every kind of layer that has some
  std::map<std::int64_t, bool> attention_;
  std::map<std::int64_t, bool> expert_;
};

// Groups fill whole nodes, or whole groups fill a node.
bool sits_evenly(const PlanProblem& problem, const Parallelism& p) {
  const int group = p.expert_ep * p.expert_tp;
  const int node = problem.node_devices;
  return group % node == 0 ? p.ranks_per_stage() % node == 0 : node % group == 0;
}

// Empty: legal.
std::string objection(const PlanProblem& problem, ModelRules& rules, const Parallelism& p) {
  if (!rules.cuts_attention(p.attention_tp)) {
    return "attention heads or widths over tp";
  }
  // Causal attention is balanced over context-parallel ranks by two chunks each.
  const std::int64_t chunks = p.attention_cp > 1 ? 2 * p.attention_cp : 1;
  if (problem.sequence % (chunks * p.attention_tp) != 0) {
    return "sequence over cp and tp";
  }
  if (problem.global_batch % p.attention_dp != 0) {
    return "global batch over dp";
  }
  if (p.pp > trained_layers(problem.model)) {
    return "layers over pp";
  }
  if (!rules.divides_experts(p.expert_ep)) {
    return "experts over ep";
  }
  if (!rules.cuts_experts(p.expert_tp)) {
    return "experts' width over etp";
  }
  if (std::max(p.attention_tp, p.expert_tp) > problem.node_devices) {
    return "tp or etp larger than a node";
  }
  return sits_evenly(problem, p) ? "" : "expert groups do not sit evenly on nodes";
}

Parallelism attention_map(int devices, std::int64_t tp, std::int64_t cp, std::int64_t pp) {
  Parallelism p;
  p.attention_tp = static_cast<int>(tp);
  p.attention_cp = static_cast<int>(cp);
  p.pp = static_cast<int>(pp);
  p.attention_dp = devices / (p.attention_tp * p.attention_cp * p.pp);
  return p;
}

std::vector<Parallelism> attention_maps(int devices, const SearchLimits& limits) {
  std::vector<Parallelism> maps;
  for (const std::int64_t tp : divisors(devices)) {
    for (const std::int64_t cp : divisors(devices / tp)) {
      for (const std::int64_t pp : divisors(devices / tp / cp)) {
        if (allows(limits.tp, tp) && allows(limits.cp, cp) && allows(limits.pp, pp)) {
          maps.push_back(attention_map(devices, tp, cp, pp));
        }
      }
    }
  }
  return maps;
}

// Virtual stages: the chunks of all stages are alike, as Megatron-LM wants them.
std::vector<std::int64_t> chunk_counts(const PlanProblem& problem, const SearchLimits& limits,
                                       const Parallelism& map) {
  const std::int64_t layers = trained_layers(problem.model);
  std::vector<std::int64_t> result;
  for (const std::int64_t vpp : divisors(std::max<std::int64_t>(1, layers / map.pp))) {
    const bool legal = vpp == 1 || (map.pp > 1 && layers % (map.pp * vpp) == 0);
    if (legal && allows(limits.vpp, vpp)) {
      result.push_back(vpp);
    }
  }
  return result;
}

// ZeRO 2 and 3 would reduce and gather in every micro-batch of a pipeline (DeepSpeed refuses them
// with one); without other ranks to share with all stages are the same.
std::vector<int> zero_stages(const SearchLimits& limits, const Parallelism& map) {
  const bool shares = map.attention_dp * map.attention_cp > 1 || map.expert_dp > 1;
  std::vector<int> result;
  for (int zero = 0; zero <= 3; ++zero) {
    const bool legal = zero == 0 || (shares && (zero == 1 || map.pp == 1));
    if (legal && allows(limits.zero, zero)) {
      result.push_back(zero);
    }
  }
  return result;
}

std::vector<std::string> pipelines(const SearchLimits& limits, const Parallelism& map) {
  std::vector<std::string> names = limits.pipeline;
  if (names.empty()) {
    names = {"1f1b", "interleaved"};
  }
  std::erase_if(names, [&map](const std::string& name) {
    return (map.vpp > 1) != (name == "interleaved") || (map.pp == 1 && name != "1f1b");
  });
  return names;
}

bool has_shape(const TrainLayout& layout, std::int64_t micro_batches) {
  const Parallelism& p = layout.parallelism;
  if (layout.pipeline == "interleaved") {
    return micro_batches % p.pp == 0;
  }
  return layout.pipeline != "dualpipe" ||
         (p.pp % 2 == 0 && micro_batches % 2 == 0 && micro_batches >= 2 * p.pp);
}

// The layouts of one map and number of chunks.
void add_layouts(const PlanProblem& problem, const SearchLimits& limits, TrainLayout layout,
                 std::vector<TrainLayout>& layouts) {
  const auto names = pipelines(limits, layout.parallelism);
  const auto zeros = zero_stages(limits, layout.parallelism);
  const std::int64_t sequences = problem.global_batch / layout.parallelism.attention_dp;
  for (layout.micro_batch = 1; layout.micro_batch <= sequences; ++layout.micro_batch) {
    const bool wanted = limits.micro_batch.empty() ? layout.micro_batch <= most_micro_batch
                                                   : allows(limits.micro_batch, layout.micro_batch);
    if (!wanted || sequences % layout.micro_batch != 0) {
      continue;
    }
    for (const std::string& name : names) {
      layout.pipeline = name;
      if (!has_shape(layout, sequences / layout.micro_batch)) {
        continue;
      }
      for (const Recompute recompute : recomputes) {
        layout.recompute = recompute;
        if (!limits.recompute.empty() &&
            std::ranges::find(limits.recompute, name_of(recompute)) == limits.recompute.end()) {
          continue;
        }
        for (const int zero : zeros) {
          layout.zero = zero;
          layouts.push_back(layout);
        }
      }
    }
  }
}

std::vector<std::string> names_of(ConfigObject& search, std::string_view key,
                                  std::span<const std::string_view> allowed) {
  std::vector<std::string> names;
  if (search.raw(key) != nullptr) {
    names = search.texts(key);
  }
  for (const std::string& name : names) {
    if (std::ranges::find(allowed, name) == allowed.end()) {
      search.fail(key, "\"" + name + "\" is not one of: " + joined(allowed));
    }
  }
  return names;
}

}  // namespace

SearchLimits parse_search(const nlohmann::json& scenario, const std::string& where) {
  constexpr std::int64_t most = 1 << 20;
  SearchLimits limits;
  if (!scenario.contains("search")) {
    return limits;
  }
  ConfigObject search(scenario.at("search"), where + "/search");
  const auto numbers = [&search](std::string_view key, std::int64_t least, std::int64_t largest) {
    if (search.raw(key) == nullptr) {
      return std::vector<std::int64_t>{};
    }
    std::vector<std::int64_t> values = search.integers(key, least, largest);
    if (values.empty()) {
      search.fail(std::string(key), "is empty: leave it out to try all, or name values");
    }
    return values;
  };
  limits.tp = numbers("tp", 1, most);
  limits.cp = numbers("cp", 1, most);
  limits.pp = numbers("pp", 1, most);
  limits.vpp = numbers("vpp", 1, most);
  limits.etp = numbers("etp", 1, most);
  limits.ep = numbers("ep", 1, most);
  limits.micro_batch = numbers("micro_batch", 1, most);
  limits.zero = numbers("zero", 0, 3);
  constexpr std::array<std::string_view, 3> kinds{"none", "selective", "full"};
  limits.recompute = names_of(search, "recompute", kinds);
  std::vector<std::string_view> schedules;
  for (const PipelineEntry& entry : pipeline_schedules()) {
    schedules.push_back(entry.name);
  }
  limits.pipeline = names_of(search, "pipeline", schedules);
  limits.simulations =
      static_cast<int>(search.integer_or("simulations", limits.simulations, 1, most));
  search.reject_unknown_keys();
  return limits;
}

std::vector<Parallelism> legal_rank_maps(const PlanProblem& problem, const SearchLimits& limits,
                                         Reasons& out) {
  ModelRules rules(problem.model);
  std::vector<Parallelism> legal;
  for (Parallelism map : attention_maps(problem.devices, limits)) {
    const int ranks = map.ranks_per_stage();
    for (const std::int64_t ep : divisors(ranks)) {
      for (const std::int64_t etp : divisors(ranks / ep)) {
        if (!allows(limits.ep, ep) || !allows(limits.etp, etp)) {
          continue;
        }
        map.expert_ep = static_cast<int>(ep);
        map.expert_tp = static_cast<int>(etp);
        map.expert_dp = ranks / (map.expert_ep * map.expert_tp);
        const std::string why = objection(problem, rules, map);
        if (why.empty()) {
          legal.push_back(map);
        } else {
          ++out[why];
        }
      }
    }
  }
  return legal;
}

std::vector<TrainLayout> legal_layouts(const PlanProblem& problem, const SearchLimits& limits,
                                       const std::vector<Parallelism>& maps) {
  std::vector<TrainLayout> layouts;
  for (const Parallelism& map : maps) {
    for (const std::int64_t vpp : chunk_counts(problem, limits, map)) {
      TrainLayout layout{.parallelism = map};
      layout.parallelism.vpp = static_cast<int>(vpp);
      add_layouts(problem, limits, layout, layouts);
    }
  }
  return layouts;
}

}  // namespace moesim
