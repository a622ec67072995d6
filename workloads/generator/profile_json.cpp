// Generator profiles as JSON.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "sim/core/catalog.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "workloads/generator/profile.h"

namespace moesim {
namespace {

RouterSpec parse_router(ConfigObject object) {
  RouterSpec router{.layers = static_cast<int>(object.integer("layers", 1, 4096)),
                    .experts = static_cast<int>(object.integer("experts", 1, 65535)),
                    .top_k = static_cast<int>(object.integer("top_k", 1, 1024)),
                    .groups = static_cast<int>(object.integer_or("groups", 1, 1, 65535)),
                    .top_groups = 1,
                    .per_group_k = 0};
  router.top_groups = static_cast<int>(object.integer_or("top_groups", router.groups, 1, 65535));
  router.per_group_k = static_cast<int>(object.integer_or("per_group_k", 0, 0, 1024));
  object.reject_unknown_keys();
  check_router(router, object.where());
  return router;
}

// A curve over depth: as many values as layers, or fewer that are interpolated linearly.
std::vector<double> curve(ConfigObject& object, std::string_view key, int layers, double min,
                          double max) {
  const auto knots = object.numbers(key, min, max);
  const auto count = static_cast<std::size_t>(layers);
  if (knots.empty() || knots.size() > count) {
    object.fail(key, std::to_string(knots.size()) + " values; needs 1 to " +
                         std::to_string(layers) + ", one per layer or knots over the depth");
  }
  if (knots.size() == count) {
    return knots;
  }
  std::vector<double> values;
  for (std::size_t l = 0; l < count; ++l) {
    const double at =
        count == 1 ? 0.0
                   : static_cast<double>(l * (knots.size() - 1)) / static_cast<double>(count - 1);
    const auto below = std::min(static_cast<std::size_t>(at), knots.size() - 1);
    const auto above = std::min(below + 1, knots.size() - 1);
    values.push_back(knots[below] +
                     (at - static_cast<double>(below)) * (knots[above] - knots[below]));
  }
  return values;
}

void parse_latent(ConfigObject object, GeneratorProfile& profile) {
  constexpr double largest = 100.0;
  const int layers = profile.router.layers;
  profile.dimensions = static_cast<int>(object.integer("dimensions", 1, 64));
  profile.context_correlation = object.number("context_correlation", 0.0, 0.9999);
  profile.fast_correlation = object.number("fast_correlation", 0.0, 0.9999);
  profile.layer_correlation = object.number("layer_correlation", 0.0, 1.0);
  profile.turn = object.number_or("turn", 0.0, 0.0, 3.2);
  profile.token_spread = object.number_or("token_spread", 0.0, 0.0, 3.0);
  profile.request_spread = object.number_or("request_spread", 0.0, 0.0, 3.0);
  profile.router_noise = object.number("router_noise", 0.0, largest);
  auto amplitudes = object.object("amplitudes");
  profile.amplitudes = {.token = curve(amplitudes, "token", layers, 0.0, largest),
                        .request = curve(amplitudes, "request", layers, 0.0, largest),
                        .context = curve(amplitudes, "context", layers, 0.0, largest),
                        .fast = curve(amplitudes, "fast", layers, 0.0, largest),
                        .own = curve(amplitudes, "own", layers, 1e-6, largest)};
  amplitudes.reject_unknown_keys();
  object.reject_unknown_keys();
}

// [layer][expert], each layer's adding up to 1.
void parse_shares(const nlohmann::json& rows, const std::string& where, GeneratorProfile& profile) {
  if (!rows.is_array() || rows.size() != static_cast<std::size_t>(profile.router.layers)) {
    throw ConfigError(where, "needs one array per layer");
  }
  for (std::size_t l = 0; l < rows.size(); ++l) {
    const std::string row_where = where + "/" + std::to_string(l);
    const nlohmann::json wrapped = {{"shares", rows[l]}};
    ConfigObject row(wrapped, row_where);
    const std::vector<double> shares = row.numbers("shares", 1e-6, 1.0);
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    constexpr double rounding = 1e-3;
    if (shares.size() != static_cast<std::size_t>(profile.router.experts) ||
        std::abs(sum - 1.0) > rounding) {
      throw ConfigError(row_where, std::to_string(shares.size()) + " shares that add up to " +
                                       std::to_string(sum) + "; needs one per expert (" +
                                       std::to_string(profile.router.experts) +
                                       "), adding up to 1");
    }
    profile.load_shares.push_back(shares);
  }
}

void parse_load(ConfigObject object, GeneratorProfile& profile) {
  const RouterSpec& router = profile.router;
  if (const auto* shares = object.raw("shares")) {
    parse_shares(*shares, object.where("shares"), profile);
    object.reject_unknown_keys();
    return;
  }
  profile.load_cv = curve(object, "cv", router.layers, 0.0, 100.0);
  profile.load_max_over_mean = curve(object, "max_over_mean", router.layers, 1.0, 1e4);
  if (auto zero = object.object_if("zero_experts")) {
    profile.zero_experts = static_cast<int>(zero->integer("count", 1, router.experts - 1));
    profile.zero_share = zero->number("share", 1e-6, 1.0 - 1e-6);
    zero->reject_unknown_keys();
  }
  object.reject_unknown_keys();
}

void parse_tokens(ConfigObject object, GeneratorProfile& profile) {
  profile.vocabulary = static_cast<int>(object.integer("vocabulary", 1, 1 << 24));
  profile.zipf_exponent = object.number("zipf_exponent", 0.0, 10.0);
  profile.zipf_shift = object.number("zipf_shift", 0.0, 1e6);
  profile.length_probability = object.numbers("length_probability", 0.0, 1.0);
  profile.length_tokens = object.numbers("length_tokens", 2.0, 1e7);
  const bool sorted = std::ranges::is_sorted(profile.length_probability) &&
                      std::ranges::is_sorted(profile.length_tokens);
  if (!sorted || profile.length_probability.size() != profile.length_tokens.size() ||
      profile.length_probability.size() < 2 || profile.length_probability.front() != 0.0 ||
      profile.length_probability.back() != 1.0) {
    object.fail(
        "length_probability",
        "needs ascending probabilities from 0 to 1, as many as length_tokens, which ascend");
  }
  object.reject_unknown_keys();
}

void parse_bias(ConfigObject& object, GeneratorProfile& profile) {
  const auto* rows = object.raw("bias_milli");
  if (rows == nullptr) {
    return;
  }
  if (!rows->is_array() || rows->size() != static_cast<std::size_t>(profile.router.layers)) {
    object.fail("bias_milli", "needs one array per layer");
  }
  for (std::size_t l = 0; l < rows->size(); ++l) {
    const std::string where = object.where("bias_milli") + "/" + std::to_string(l);
    const nlohmann::json wrapped = {{"bias", (*rows)[l]}};
    ConfigObject row(wrapped, where);
    const auto values = row.integers("bias", -1'000'000, 1'000'000);
    if (values.size() != static_cast<std::size_t>(profile.router.experts)) {
      throw ConfigError(where, std::to_string(values.size()) + " values; needs one per expert (" +
                                   std::to_string(profile.router.experts) + ")");
    }
    profile.bias_milli.emplace_back(values.begin(), values.end());
  }
}

nlohmann::json rounded(const std::vector<double>& values, double steps = 1e4) {
  auto json = nlohmann::json::array();
  for (const double value : values) {
    json.push_back(std::round(value * steps) / steps);
  }
  return json;
}

}  // namespace

GeneratorProfile read_profile(const std::string& path) {
  const auto json = read_json_file(path);
  ConfigObject object(json, path + "#");
  GeneratorProfile profile;
  profile.name = object.text("name");
  profile.model = object.text("model");
  profile.source = object.text("source");
  profile.date = object.text("date");
  profile.fit_range = object.text("fit_range");
  if (object.has("notes")) {
    profile.notes = object.texts("notes");
  }
  profile.router = parse_router(object.object("router"));
  profile.first_layer = static_cast<int>(object.integer("first_layer", 0, 4096));
  parse_latent(object.object("latent"), profile);
  parse_load(object.object("load"), profile);
  parse_tokens(object.object("tokens"), profile);
  profile.model_seed = static_cast<std::uint64_t>(object.integer("model_seed", 0));
  parse_bias(object, profile);
  object.reject_unknown_keys();
  return profile;
}

GeneratorProfile load_profile(const std::string& name, const std::vector<std::string>& profile_dirs,
                              const std::string& where) {
  const std::string path = name.ends_with(".json") ? name : find_in_catalog(name, profile_dirs);
  if (path.empty()) {
    throw ConfigError(where, "no routing profile \"" + name +
                                 "\"; there are: " + joined(catalog_names(profile_dirs)));
  }
  return read_profile(path);
}

std::string profile_text(const GeneratorProfile& profile) {
  nlohmann::ordered_json json;
  json["name"] = profile.name;
  json["model"] = profile.model;
  json["source"] = profile.source;
  json["date"] = profile.date;
  json["fit_range"] = profile.fit_range;
  json["notes"] = profile.notes;
  const RouterSpec& router = profile.router;
  json["router"] = {{"layers", router.layers},         {"experts", router.experts},
                    {"top_k", router.top_k},           {"groups", router.groups},
                    {"top_groups", router.top_groups}, {"per_group_k", router.per_group_k}};
  json["first_layer"] = profile.first_layer;
  const LayerAmplitudes& amplitudes = profile.amplitudes;
  json["latent"] = {{"dimensions", profile.dimensions},
                    {"context_correlation", profile.context_correlation},
                    {"fast_correlation", profile.fast_correlation},
                    {"layer_correlation", profile.layer_correlation},
                    {"turn", profile.turn},
                    {"token_spread", profile.token_spread},
                    {"request_spread", profile.request_spread},
                    {"router_noise", profile.router_noise},
                    {"amplitudes",
                     {{"token", rounded(amplitudes.token)},
                      {"request", rounded(amplitudes.request)},
                      {"context", rounded(amplitudes.context)},
                      {"fast", rounded(amplitudes.fast)},
                      {"own", rounded(amplitudes.own)}}}};
  if (profile.load_shares.empty()) {
    json["load"] = {{"cv", rounded(profile.load_cv)},
                    {"max_over_mean", rounded(profile.load_max_over_mean)}};
  } else {
    auto rows = nlohmann::json::array();
    for (const auto& shares : profile.load_shares) {
      rows.push_back(rounded(shares, 1e6));
    }
    json["load"] = {{"shares", rows}};
  }
  if (profile.zero_experts > 0) {
    json["load"]["zero_experts"] = {{"count", profile.zero_experts}, {"share", profile.zero_share}};
  }
  json["tokens"] = {{"vocabulary", profile.vocabulary},
                    {"zipf_exponent", profile.zipf_exponent},
                    {"zipf_shift", profile.zipf_shift},
                    {"length_probability", profile.length_probability},
                    {"length_tokens", profile.length_tokens}};
  json["model_seed"] = profile.model_seed;
  // One line per key, one per layer of the bias: readable, and diffs stay small.
  std::string text = "{\n";
  for (const auto& [key, value] : json.items()) {
    text += "  \"" + key + "\": " + value.dump() + (key == "model_seed" ? "" : ",\n");
  }
  if (!profile.bias_milli.empty()) {
    text += ",\n  \"bias_milli\": [\n";
    for (std::size_t l = 0; l < profile.bias_milli.size(); ++l) {
      text += "    " + nlohmann::json(profile.bias_milli[l]).dump();
      text += l + 1 < profile.bias_milli.size() ? ",\n" : "\n  ]";
    }
  }
  return text + "\n}\n";
}

}  // namespace moesim
