#include "models/network/moe_model.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <tuple>

#include "models/network/hf_config.h"
#include "sim/core/catalog.h"
#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {

std::string_view name_of(AttentionKind kind) {
  static constexpr std::array<std::string_view, 7> names{"mha",   "gqa",        "mla", "linear",
                                                         "mamba", "compressed", "none"};
  return names.at(static_cast<std::size_t>(kind));
}

std::string_view name_of(KvKind kind) {
  static constexpr std::array<std::string_view, 5> names{"none", "per_head", "latent", "state",
                                                         "mixed"};
  return names.at(static_cast<std::size_t>(kind));
}

std::string_view name_of(ExpertKind kind) {
  static constexpr std::array<std::string_view, 5> names{"ffn", "zero", "copy", "const", "null"};
  return names.at(static_cast<std::size_t>(kind));
}

KvKind kv_kind(const Attention& attention) {
  switch (attention.kind) {
    case AttentionKind::mha:
    case AttentionKind::gqa:
      return KvKind::per_head;
    case AttentionKind::mla:
    case AttentionKind::compressed:
      return KvKind::latent;
    case AttentionKind::linear:
    case AttentionKind::mamba:
      return KvKind::state;
    case AttentionKind::none:
      return KvKind::none;
  }
  throw InvariantError("every attention kind keeps something");
}

std::int64_t FfnGroup::ffn_experts() const {
  std::int64_t sum = 0;
  for (const ExpertSet& set : experts) {
    sum += set.kind == ExpertKind::ffn ? set.count : 0;
  }
  return sum;
}

std::int64_t FfnGroup::selectable_experts() const {
  std::int64_t sum = 0;
  for (const ExpertSet& set : experts) {
    sum += set.count;
  }
  return sum;
}

const ExpertSet& FfnGroup::expert() const {
  ensure(!experts.empty() && experts.front().kind == ExpertKind::ffn,
         "the FFN experts of a MoE entry come first");
  return experts.front();
}

const FfnGroup* Block::moe() const {
  const auto found =
      std::ranges::find_if(ffn, [](const FfnGroup& g) { return g.kind == FfnKind::moe; });
  return found == ffn.end() ? nullptr : &*found;
}

namespace {

auto key_of(const RoutingShape& s) {
  return std::tuple(s.experts, s.ffn_experts, s.top_k, s.groups, s.top_groups, s.per_group_k);
}

RoutingShape shape_of(const FfnGroup& group) {
  return {.layers = 0,
          .experts = group.selectable_experts(),
          .ffn_experts = group.ffn_experts(),
          .top_k = group.router.top_k,
          .groups = group.router.groups,
          .top_groups = group.router.top_groups,
          .per_group_k = group.router.per_group_k};
}

}  // namespace

RoutingShape routing_shape(const MoeModel& model) {
  RoutingShape all;
  for (const std::int32_t index : model.layers) {
    for (const FfnGroup& group : model.blocks[static_cast<std::size_t>(index)].ffn) {
      if (group.kind != FfnKind::moe) {
        continue;
      }
      RoutingShape shape = shape_of(group);
      if (all.layers > 0 && key_of(shape) != key_of(all)) {
        throw ConfigError(model.where,
                          "the MoE layers of " + model.name +
                              " differ in experts, top_k or groups; one routing source needs the "
                              "same router in every layer");
      }
      shape.layers = all.layers + group.rounds;
      all = shape;
    }
  }
  return all;
}

namespace {

// ModelOpt's exports say how weights are kept in a file of its own beside config.json
// ("X_config.json": "X_hf_quant_config.json"); what config.json says itself goes first.
void add_quantisation_file(nlohmann::json& document, const std::string& path) {
  constexpr std::string_view config = "config.json";
  constexpr std::string_view quantised = "hf_quant_config.json";
  if (!is_hf_config(document) || !path.ends_with(config) || path.ends_with(quantised)) {
    return;
  }
  const auto holds = [](const nlohmann::json& object) {
    const auto found = object.find("quantization_config");
    return found != object.end() && !found->is_null();
  };
  const auto text = document.find("text_config");
  const std::string beside = path.substr(0, path.size() - config.size()).append(quantised);
  if (holds(document) || (text != document.end() && text->is_object() && holds(*text)) ||
      !std::filesystem::is_regular_file(beside)) {
    return;
  }
  nlohmann::json file = parse_json(without_python_numbers(read_text_file(beside)), beside);
  const auto found = file.is_object() ? file.find("quantization") : file.end();
  if (!file.is_object() || found == file.end() || !found->is_object()) {
    throw ConfigError(beside + "#/quantization",
                      "an object with quant_algo and exclude_modules is needed");
  }
  document["quantization_config"] = *found;
  document["quantization_config"]["quant_method"] = "modelopt";
}

// As resolve_reference, but files may hold numbers as Python writes them.
nlohmann::json read_reference(const nlohmann::json& value, const std::string& where,
                              const std::vector<std::string>& catalog_dirs,
                              std::string& document_where) {
  if (value.is_string() && value.get_ref<const std::string&>().ends_with(".json")) {
    const auto& path = value.get_ref<const std::string&>();
    if (std::filesystem::is_regular_file(path)) {
      document_where = path + "#";
      nlohmann::json document = parse_json(without_python_numbers(read_text_file(path)), path);
      add_quantisation_file(document, path);
      return document;
    }
  }
  return resolve_reference(value, where, catalog_dirs, document_where);
}

}  // namespace

MoeModel load_model(const nlohmann::json& value, const std::string& where,
                    const std::vector<std::string>& catalog_dirs, nlohmann::json* effective) {
  const nlohmann::json* reference = &value;
  nlohmann::json changes;
  if (value.is_object() && value.contains("model")) {
    reference = &value["model"];
    if (!reference->is_string()) {
      throw ConfigError(where + "/model", "the name or path of a model is needed");
    }
    changes = value;
    changes.erase("model");
  }
  std::string document_where;
  nlohmann::json document = read_reference(*reference, where, catalog_dirs, document_where);
  if (is_hf_config(document)) {
    document = model_of_hf_config(document, document_where);
    document_where += " (as read from a Hugging Face config)";
  }
  if (changes.is_object() && document.is_object()) {
    document.merge_patch(changes);
  }
  return parse_model(document, document_where, effective);
}

}  // namespace moesim
