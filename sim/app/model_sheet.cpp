#include "sim/app/model_sheet.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "hardware/device.h"
#include "models/network/moe_model_size.h"
#include "models/operators/operators.h"
#include "sim/core/catalog.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::int64_t, 2> contexts{8192, 131072};
constexpr double usable = 0.9;        // of a device's memory, as clusters have it
constexpr double for_the_step = 0.1;  // of what is used: activations, buffers
constexpr std::int64_t most_devices = 1024;

std::string number(std::int64_t value) { return std::to_string(value); }

std::string text_of(const Attention& a) {
  std::string text(name_of(a.kind));
  switch (a.kind) {
    case AttentionKind::mha:
    case AttentionKind::gqa:
      text += " " + number(a.heads) + "/" + number(a.kv_heads) + " x " + number(a.head_dim);
      if (a.value_dim != a.head_dim) {
        text += " (values " + number(a.value_dim) + ")";
      }
      break;
    case AttentionKind::mla:
      text += " " + number(a.heads) + " heads, latent " + number(a.kv_rank) + " + " +
              number(a.rope_dim);
      break;
    case AttentionKind::linear:
      text += " " + number(a.heads) + "/" + number(a.kv_heads) + " x " + number(a.head_dim) +
              " x " + number(a.value_dim);
      break;
    case AttentionKind::mamba:
      text += " " + number(a.heads) + " x " + number(a.head_dim) + " x " + number(a.value_dim);
      break;
    case AttentionKind::compressed:
      text += " " + number(a.heads) + " x " + number(a.head_dim) +
              (a.compress > 0 ? ", 1 entry per " + number(a.compress) : "");
      break;
    case AttentionKind::none:
      break;
  }
  text += a.window > 0 ? ", window " + number(a.window) : "";
  text += a.chunk > 0 ? ", chunks of " + number(a.chunk) : "";
  text += a.sinks ? ", sinks" : "";
  text += a.indexer ? ", indexer top " + number(a.indexer->top_k) : "";
  return text;
}

std::string text_of(const FfnGroup& group) {
  if (group.kind == FfnKind::dense) {
    return "dense " + number(group.inter);
  }
  std::string text = "moe top " + number(group.router.top_k) + " of " +
                     number(group.selectable_experts()) + " x " + number(group.expert().inter);
  for (const SharedExperts& shared : group.shared) {
    text += " + " + number(shared.count) + " shared x " + number(shared.inter);
  }
  return text + (group.latent_dim > 0 ? ", latent " + number(group.latent_dim) : "");
}

std::vector<LayerKind> kinds_of(const MoeModel& model) {
  std::vector<LayerKind> kinds;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const Block& block = model.layer(i);
    LayerKind kind{.count = 1, .attention = text_of(block.attention), .ffn = {}};
    for (const FfnGroup& group : block.ffn) {
      kind.ffn += (kind.ffn.empty() ? "" : "; ") + text_of(group);
    }
    const auto known = std::ranges::find_if(kinds, [&](const LayerKind& k) {
      return k.attention == kind.attention && k.ffn == kind.ffn;
    });
    if (known == kinds.end()) {
      kinds.push_back(kind);
    } else {
      ++known->count;
    }
  }
  return kinds;
}

// Cut by tensor parallelism where that leaves whole heads, else attention is copied and experts
// are spread.
struct Cut {
  Bytes weights;
  Bytes cache;
  std::string text;
};

std::optional<Cut> cut_by_heads(const MoeModel& model, const Quantisation& formats,
                                std::int64_t devices, std::int64_t context) {
  const TensorParallel tp{.attention = devices,
                          .dense = devices,
                          .shared = devices,
                          .expert = devices,
                          .vocabulary = devices};
  try {
    check_tensor_parallel(model, tp, "fits");
  } catch (const ConfigError&) {
    return std::nullopt;
  }
  return Cut{weight_bytes(model, formats, tp).total(model),
             kv_bytes_per_sequence(model, DType::bf16, context, devices) +
                 state_bytes_per_sequence(model, devices),
             "tp " + number(devices)};
}

std::optional<Cut> spread_experts(const MoeModel& model, const Quantisation& formats,
                                  std::int64_t devices, std::int64_t context) {
  const WeightBytes all = weight_bytes(model, formats);
  Bytes sum = all.embedding + all.head + all.final_norm;
  std::int64_t most = 0;
  for (const std::int32_t index : model.layers) {
    const BlockBytes& block = all.blocks[static_cast<std::size_t>(index)];
    sum += block.resident();
    for (const FfnBytes& ffn : block.ffn) {
      sum += static_cast<double>((ffn.routed_experts + devices - 1) / devices) * ffn.routed_expert;
      most = std::max(most, ffn.routed_experts);
    }
  }
  if (most < devices) {
    return std::nullopt;
  }
  return Cut{sum,
             kv_bytes_per_sequence(model, DType::bf16, context) + state_bytes_per_sequence(model),
             "dp " + number(devices) + ", ep " + number(devices)};
}

Fit fit_of(const MoeModel& model, const Device& device, const std::string& precision,
           const Quantisation& formats, std::int64_t context) {
  Fit fit{device.name, precision, context, 0, ""};
  for (std::int64_t n = 1; n <= most_devices; n *= 2) {
    std::optional<Cut> cut = n <= 8 ? cut_by_heads(model, formats, n, context) : std::nullopt;
    for (int attempt = 0; attempt < 2; ++attempt) {
      if (cut && (1 + for_the_step) * (cut->weights + cut->cache).si() <=
                     usable * device.memory.capacity.si()) {
        fit.devices = n;
        fit.parallelism = n == 1 ? "one device" : cut->text;
        return fit;
      }
      cut = n > 1 ? spread_experts(model, formats, n, context) : std::nullopt;
    }
  }
  return fit;
}

bool has_own_bits(const MoeModel& model) {
  return std::ranges::any_of(model.blocks, [](const Block& block) {
    return block.attention.weight_bits > 0 ||
           std::ranges::any_of(block.ffn, [](const FfnGroup& group) {
             return group.kind == FfnKind::dense ? group.weight_bits > 0
                                                 : group.expert().weight_bits > 0;
           });
  });
}

// Formats in which the sheet gives bytes: what the files hold, or a few presets.
std::vector<std::pair<std::string, Quantisation>> formats_of(const MoeModel& model) {
  if (has_own_bits(model)) {
    return {{"checkpoint", Quantisation{}}};
  }
  std::vector<std::pair<std::string, Quantisation>> all;
  for (const char* preset : {"bf16", "fp8_block", "fp4"}) {
    all.emplace_back(preset, precision_preset(preset, "sheet").weights);
  }
  return all;
}

// Files are stored in their formats, whatever they are multiplied in.
bool computes_in(const Device& device, const std::string& preset) {
  if (std::ranges::find(precision_presets(), preset) == precision_presets().end()) {
    return true;
  }
  const OpPrecision precision = precision_preset(preset, "sheet");
  return std::ranges::all_of(
      std::array{precision.attention_gemm, precision.ffn_gemm, precision.expert_gemm},
      [&device](DType format) { return device.peak.contains(peak_class(format)); });
}

std::vector<Fit> fits_of(const MoeModel& model, const CatalogFolders& folders,
                         const std::vector<std::pair<std::string, Quantisation>>& formats) {
  std::vector<std::string> shelves;
  for (const std::string& folder : folders.hardware) {
    shelves.push_back((std::filesystem::path(folder) / "devices").string());
  }
  std::vector<Fit> fits;
  for (const std::string& name : catalog_names(shelves)) {
    const Device device = load_device(name, name, folders.hardware);
    if (device.kind == DeviceKind::cpu) {
      continue;
    }
    for (const auto& [precision, weights] : formats) {
      if (!computes_in(device, precision)) {
        continue;
      }
      for (const std::int64_t context : contexts) {
        fits.push_back(fit_of(model, device, precision, weights, context));
      }
    }
  }
  return fits;
}

}  // namespace

ModelSheet model_sheet(const std::string& name, const CatalogFolders& folders) {
  Json document;
  const MoeModel model = load_model(name, "catalog show " + name, folders.models, &document);
  const ParameterCounts counts = count_parameters(model);
  ModelSheet sheet;
  sheet.document = std::make_shared<const Json>(std::move(document));
  sheet.name = name.ends_with(".json") ? model.name : name;
  sheet.checkpoint = model.checkpoint;
  sheet.notes = model.notes;
  sheet.sources = model.sources;
  sheet.total_parameters = counts.total();
  sheet.active_parameters = counts.active();
  sheet.active_parameters_without_embedding = counts.active_without_embedding();
  sheet.parameters = {{"embedding", counts.embedding},
                      {"head", counts.head},
                      {"attention", counts.attention},
                      {"dense_ffn", counts.dense_ffn},
                      {"router", counts.router},
                      {"shared_experts", counts.shared_experts},
                      {"latent", counts.latent},
                      {"routed_experts", counts.routed_experts + counts.routed_vectors},
                      {"vectors", counts.vectors}};
  sheet.layers = static_cast<std::int64_t>(model.layers.size());
  sheet.hidden = model.hidden;
  sheet.vocabulary = model.vocabulary;
  sheet.kinds = kinds_of(model);
  sheet.kv_bytes_per_token = kv_bytes_per_token(model, DType::bf16).si();
  constexpr std::int64_t far = 1 << 24;
  constexpr std::int64_t step = 1 << 16;
  sheet.kv_bytes_per_far_token = (kv_bytes_per_sequence(model, DType::bf16, far + step).si() -
                                  kv_bytes_per_sequence(model, DType::bf16, far).si()) /
                                 static_cast<double>(step);
  sheet.state_bytes_per_sequence = state_bytes_per_sequence(model).si();
  for (const std::int64_t context : contexts) {
    sheet.kv_bytes_per_sequence.emplace_back(
        context, kv_bytes_per_sequence(model, DType::bf16, context).si());
  }
  const auto formats = formats_of(model);
  for (const auto& [precision, weights] : formats) {
    sheet.weights.push_back({precision, weight_bytes(model, weights).total(model).si()});
  }
  sheet.fits = fits_of(model, folders, formats);
  return sheet;
}

Json to_json(const ModelSheet& sheet) {
  Json kinds = Json::array();
  for (const LayerKind& kind : sheet.kinds) {
    kinds.push_back({{"count", kind.count}, {"attention", kind.attention}, {"ffn", kind.ffn}});
  }
  Json parameters = Json::object();
  for (const auto& [component, count] : sheet.parameters) {
    parameters[component] = count;
  }
  Json caches = Json::object();
  for (const auto& [context, bytes] : sheet.kv_bytes_per_sequence) {
    caches[std::to_string(context)] = bytes;
  }
  Json weights = Json::object();
  for (const WeightSize& size : sheet.weights) {
    weights[size.precision] = size.bytes;
  }
  Json fits = Json::array();
  for (const Fit& fit : sheet.fits) {
    fits.push_back({{"device", fit.device},
                    {"precision", fit.precision},
                    {"context", fit.context},
                    {"devices", fit.devices > 0 ? Json(fit.devices) : Json()},
                    {"parallelism", fit.parallelism}});
  }
  return {{"name", sheet.name},
          {"sources", sheet.sources},
          {"notes", sheet.notes},
          {"checkpoint", sheet.checkpoint},
          {"total_parameters", sheet.total_parameters},
          {"active_parameters", sheet.active_parameters},
          {"active_parameters_without_embedding", sheet.active_parameters_without_embedding},
          {"parameters", std::move(parameters)},
          {"layers", sheet.layers},
          {"hidden", sheet.hidden},
          {"vocabulary", sheet.vocabulary},
          {"kinds", std::move(kinds)},
          {"kv_bytes_per_token", sheet.kv_bytes_per_token},
          {"kv_bytes_per_far_token", sheet.kv_bytes_per_far_token},
          {"kv_bytes_per_sequence", std::move(caches)},
          {"state_bytes_per_sequence", sheet.state_bytes_per_sequence},
          {"weight_bytes", std::move(weights)},
          {"fits", std::move(fits)},
          {"model", *sheet.document}};
}

namespace {

std::string rounded(double value, int digits) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

}  // namespace

std::string models_table(const CatalogFolders& folders) {
  std::string table =
      "| model | total, 1e9 | active | active, input table apart | KV bf16, B/token | beyond "
      "windows | state, MB/sequence |\n|---|---:|---:|---:|---:|---:|---:|\n";
  for (const std::string& name : catalog_names(folders.models)) {
    const MoeModel model = load_model(name, name, folders.models);
    const ParameterCounts counts = count_parameters(model);
    constexpr std::int64_t far = 1 << 24;
    const double grown = (kv_bytes_per_sequence(model, DType::bf16, 2 * far) -
                          kv_bytes_per_sequence(model, DType::bf16, far))
                             .si() /
                         static_cast<double>(far);
    table += "| " + name + " | " + rounded(counts.total() / 1e9, 2) + " | " +
             rounded(counts.active() / 1e9, 2) + " | " +
             rounded(counts.active_without_embedding() / 1e9, 2) + " | " +
             rounded(kv_bytes_per_token(model, DType::bf16).si(), 0) + " | " + rounded(grown, 0) +
             " | " + rounded(state_bytes_per_sequence(model).si() / 1e6, 1) + " |\n";
  }
  return table;
}

}  // namespace moesim
