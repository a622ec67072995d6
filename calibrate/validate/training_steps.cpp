#include "calibrate/validate/training_steps.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <sstream>

#include "calibrate/validate/training_recipes.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

struct Name {
  std::string_view published;
  std::string_view catalog;
};
constexpr std::array k_models{Name{"DeepSeek-V3", "deepseek-v3"},
                              Name{"DeepSeek-V4-Flash", "deepseek-v4-flash"},
                              Name{"Mixtral-8x7B", "mixtral-8x7b"},
                              Name{"Mixtral-8x22B", "mixtral-8x22b"},
                              Name{"Kimi-K2", "kimi-k2"},
                              Name{"Qwen3-235B-A22B", "qwen3-235b-a22b"},
                              Name{"Qwen3-30B-A3B", "qwen3-30b-a3b"},
                              Name{"Qwen3-Next-80B-A3B", "qwen3-next-80b-a3b"},
                              Name{"gpt-oss-120b", "gpt-oss-120b"},
                              Name{"gpt-oss-20b", "gpt-oss-20b"},
                              Name{"Nemotron-3-Nano", "nemotron-3-nano-30b-a3b"},
                              Name{"Nemotron-3-Super", "nemotron-3-super-120b-a12b"}};
constexpr std::array k_systems{
    Name{"A100", "a100_sxm"}, Name{"B200", "b200_sxm"}, Name{"B300", "b300_sxm"},
    Name{"GB200", "gb200"},   Name{"GB300", "gb300"},   Name{"H100", "h100_sxm"},
    Name{"H200", "h200_sxm"}, Name{"H800", "h800_sxm"}, Name{"MI300X", "mi300x"},
    Name{"MI325X", "mi325x"}, Name{"MI355X", "mi355x"}};

std::string catalog_name(std::span<const Name> names, std::string_view published) {
  const auto found = std::ranges::find(names, published, &Name::published);
  return found == names.end() ? std::string() : std::string(found->catalog);
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

class Row {
 public:
  Row(const CsvTable& table, std::size_t row) : table_(table), row_(row) {}

  [[nodiscard]] std::string text(std::string_view name) const {
    return table_.has(name) ? std::string(table_.text(row_, table_.column(name))) : std::string();
  }
  [[nodiscard]] std::int64_t count(std::string_view name, std::int64_t absent) const {
    return text(name).empty() ? absent : table_.count(row_, table_.column(name), 1);
  }
  [[nodiscard]] double number(std::string_view name) const {
    return text(name).empty() ? 0 : table_.positive(row_, table_.column(name));
  }
  [[nodiscard]] std::string where() const {
    return table_.path() + ":" + std::to_string(table_.line(row_));
  }
  [[nodiscard]] std::uint32_t line() const { return table_.line(row_); }

 private:
  const CsvTable& table_;
  std::size_t row_;
};

std::string precision_of(const std::string& stated) {
  const std::string text = lower(stated);
  if (text.find("fp4") != std::string::npos) {
    return "fp4";
  }
  return text.find("fp8") != std::string::npos ? "fp8" : "bf16";
}

std::string dispatcher_of(const std::string& stated) {
  const std::string text = lower(stated);
  for (const char* name : {"hybridep", "deepep", "alltoall", "allgather"}) {
    if (text.find(name) != std::string::npos) {
      return name;
    }
  }
  return {};
}

std::string megatron_module(const std::string& word) {
  return word == "norm"            ? "layernorm"
         : word == "act"           ? "moe_act"
         : word == "shared_expert" ? "shared_experts"
                                   : word;
}

// "selective: moe_act layernorm" -> "moe_act layernorm"; "norm, act, shared_expert" in Megatron's
// names; "selective" alone is its default, the core of attention.
std::string recompute_of(const std::string& stated) {
  std::string kind = lower(stated);
  if (kind.starts_with("none")) {
    return "none";
  }
  if (kind.empty() || kind == "full") {
    return kind;
  }
  if (kind == "selective") {
    return "core_attn";
  }
  std::ranges::replace(kind, ',', ' ');
  const auto colon = kind.find(':');
  std::istringstream words(colon == std::string::npos ? kind : kind.substr(colon + 1));
  std::string modules;
  for (std::string word; words >> word;) {
    modules.append(modules.empty() ? "" : " ").append(megatron_module(word));
  }
  return modules;
}

// What the row does not say and its recipe does.
void take_recipe(TrainingPoint& point, const std::string& framework, const std::string& version) {
  const bool bridge = framework.find("bridge") != std::string::npos;
  const auto digits = version.find_first_of("0123456789");
  const TrainingRecipe* recipe =
      bridge ? find_training_recipe(
                   point.model, point.system,
                   digits == std::string::npos ? std::string() : version.substr(digits))
             : nullptr;
  if (point.dispatcher.empty()) {
    point.dispatcher = recipe == nullptr ? "alltoall" : std::string(recipe->dispatcher);
    point.overlap = recipe != nullptr && recipe->overlap;
    if (recipe != nullptr) {
      point.framework = framework_name(recipe->captured);
    }
  }
  if (point.recompute.empty()) {
    point.recompute =
        recipe == nullptr || recipe->recompute.empty() ? "none" : std::string(recipe->recompute);
  }
}

// Why a row is no scenario; empty if it is one.
std::string read_layout(const Row& row, TrainingPoint& point) {
  point.gpus = row.count("gpus", 0);
  point.global_batch = row.count("gbs", 0);
  point.sequence = row.count("seq_len_tokens", 0);
  if (point.gpus == 0 || point.global_batch == 0 || point.sequence == 0) {
    return "number of GPUs, batch or sequence length not stated";
  }
  if (row.text("ep").empty()) {
    return "expert parallelism not stated";
  }
  point.tp = row.count("tp", 1);
  point.pp = row.count("pp", 1);
  point.vpp = row.count("vpp", 1);
  point.cp = row.count("cp", 1);
  point.ep = row.count("ep", 1);
  point.etp = row.count("etp", 1);
  point.micro_batch = row.count("mbs", 1);
  point.fsdp = row.text("fsdp_shard") == "on";
  const std::int64_t stage = point.gpus / point.pp;
  if (point.gpus % point.pp != 0 || stage % (point.tp * point.cp) != 0 ||
      stage % (point.ep * point.etp) != 0) {
    return "the stated layout does not fill the stated GPUs";
  }
  if (point.global_batch % (point.micro_batch * (stage / (point.tp * point.cp))) != 0) {
    return "the global batch is no multiple of micro-batch and data-parallel ranks";
  }
  return {};
}

std::string read_time(const Row& row, TrainingPoint& point) {
  point.seconds = row.number("s_per_iter");
  if (point.seconds > 0) {
    return {};
  }
  point.seconds = row.number("s_per_iter_median");
  if (const double rate = row.number("tok_s_per_gpu"); point.seconds == 0 && rate > 0) {
    point.seconds = point.tokens() / (rate * static_cast<double>(point.gpus));
  }
  return point.seconds > 0 ? "" : "no step time and no tokens per second printed";
}

// Rows of Megatron-Bridge print the FLOP of a token: DeepSeek-V3 has 250 GFLOP without its
// prediction module and 260 with it.
std::int64_t modules_of(const Row& row, const TrainingPoint& point) {
  if (!row.text("mtp_layers").empty()) {
    return row.text("mtp_layers") == "0" ? 0 : 1;
  }
  return point.model == "deepseek-v3" && row.number("gflop_per_token") > 255 ? 1 : 0;
}

std::string read_row(const Row& row, TrainingPoint& point) {
  point.id = row.text("id");
  point.line = row.line();
  point.group = row.text("group");
  point.quality = row.text("quality");
  point.fabric = row.text("fabric");
  point.model = catalog_name(k_models, row.text("model"));
  if (point.model.empty()) {
    return "model " + row.text("model") + " is not in the catalog";
  }
  point.system = catalog_name(k_systems, row.text("hardware"));
  if (point.system.empty()) {
    return "device " + row.text("hardware") + " is not in the catalog";
  }
  const std::string framework = lower(row.text("framework"));
  if (framework.find("megatron") == std::string::npos) {
    return "framework " + row.text("framework") + " has no Megatron layout";
  }
  const std::string graphs = row.text("cuda_graph");
  point.framework = graphs.empty() || graphs == "none" ? "megatron" : "megatron_graphs";
  if (std::string reason = read_layout(row, point); !reason.empty()) {
    return reason;
  }
  if (std::string reason = read_time(row, point); !reason.empty()) {
    return reason;
  }
  point.layers = static_cast<int>(row.count("layers_run", 0));
  point.mtp_layers = modules_of(row, point);
  point.precision = precision_of(row.text("precision"));
  point.dispatcher = dispatcher_of(row.text("dispatcher"));
  point.library = lower(row.text("a2a_transport")).find("uccl") == std::string::npos ? "" : "uccl";
  point.recompute = recompute_of(row.text("recompute"));
  point.overlap = row.text("overlap_a2a") == "on" || row.text("overlap_a2a") == "1F1B";
  point.version = row.text("framework_version");
  take_recipe(point, framework, point.version);
  return {};
}

}  // namespace

bool is_training_steps(const CsvTable& table) {
  return table.has("s_per_iter") && table.has("framework") && table.has("model");
}

TrainingPoints read_training_steps(const CsvTable& table) {
  table.check_has_rows();
  TrainingPoints result;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    TrainingPoint point;
    const std::string reason = read_row(Row(table, i), point);
    if (reason.empty()) {
      result.points.push_back(std::move(point));
    } else {
      ++result.skipped[reason];
    }
  }
  return result;
}

std::vector<TrainingPair> training_pairs(const std::vector<TrainingPoint>& points) {
  std::vector<TrainingPair> pairs;
  const auto same_layout = [](const TrainingPoint& a, const TrainingPoint& b) {
    return a.group == b.group && a.model == b.model && a.layers == b.layers && a.tp == b.tp &&
           a.pp == b.pp && a.vpp == b.vpp && a.ep == b.ep && a.etp == b.etp && a.cp == b.cp &&
           a.gpus == b.gpus && a.global_batch == b.global_batch && a.sequence == b.sequence &&
           a.precision == b.precision && a.framework == b.framework && a.version == b.version;
  };
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (std::size_t j = i + 1; j < points.size(); ++j) {
      const TrainingPoint& a = points[i];
      const TrainingPoint& b = points[j];
      if (!same_layout(a, b)) {
        continue;
      }
      std::vector<std::string> choices;
      const auto differs = [&choices](bool yes, const char* name) {
        if (yes) {
          choices.emplace_back(name);
        }
      };
      differs(a.dispatcher != b.dispatcher || a.library != b.library, "dispatcher");
      differs(a.overlap != b.overlap, "overlap");
      differs(a.recompute != b.recompute, "recompute");
      differs(a.micro_batch != b.micro_batch, "micro_batch");
      if (choices.size() == 1) {
        pairs.push_back({.choice = choices.front(), .first = i, .second = j});
      }
    }
  }
  return pairs;
}

}  // namespace moesim
