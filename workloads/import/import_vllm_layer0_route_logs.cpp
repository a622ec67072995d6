// Layer 0 of vLLM runs on GSM8K, ids and gate weights as logged: columns call, token_in_call,
// layer, e0.., w0... A request is an engine call; token ids are not in the logs.
#include <algorithm>
#include <filesystem>

#include "sim/core/csv.h"
#include "sim/core/error.h"
#include "workloads/import/importers.h"

namespace moesim::detail {
namespace {

struct LoggedModel {
  std::string name;
  int experts = 0;
};

LoggedModel parse_model(const std::string& path) {
  const std::string stem = std::filesystem::path(path).stem().string();
  if (stem.starts_with("olmoe_1b_7b")) {
    return {.name = "OLMoE-1B-7B-0924", .experts = 64};
  }
  if (stem.starts_with("qwen15_moe_a27b_chat")) {
    return {.name = "Qwen1.5-MoE-A2.7B-Chat", .experts = 60};
  }
  throw ConfigError(path,
                    "the file's name does not tell the model; needs olmoe_1b_7b*.csv or "
                    "qwen15_moe_a27b_chat*.csv");
}

}  // namespace

void import_vllm_layer0_route_logs(const std::string& path, const std::string& out,
                                   const Progress& progress) {
  const LoggedModel model = parse_model(path);
  const CsvTable table = CsvTable::read(path);
  std::vector<std::string> header{"call", "token_in_call", "layer"};
  const std::size_t call = 0;
  const std::size_t in_call = 1;
  const std::size_t layer = 2;
  const std::size_t first_expert = header.size();
  const std::size_t chosen = (std::max(table.columns(), first_expert + 2) - first_expert) / 2;
  const std::size_t first_weight = first_expert + chosen;
  for (const char* prefix : {"e", "w"}) {
    for (std::size_t k = 0; k < chosen; ++k) {
      header.push_back(prefix + std::to_string(k));
    }
  }
  table.check_header(header);
  table.check_has_rows();
  RoutedTokens tokens;
  tokens.layers = 1;
  tokens.experts = model.experts;
  tokens.top_k = static_cast<int>(first_weight - first_expert);
  tokens.ranked = true;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    static_cast<void>(table.count(row, layer, 0, 0));  // a log of layer 0
    for (std::size_t c = first_expert; c < first_weight; ++c) {
      tokens.ids.push_back(static_cast<std::uint16_t>(table.count(row, c, 0, model.experts - 1)));
    }
    for (std::size_t c = first_weight; c < table.columns(); ++c) {
      const double weight = table.number(row, c, 0.0, 1.0);
      tokens.weights.push_back(static_cast<float>(weight));
      if (c > first_weight && weight > table.number(row, c - 1)) {
        tokens.ranked = false;
      }
    }
    tokens.token_id.push_back(0);  // unknown
    tokens.request.push_back(static_cast<std::uint32_t>(table.count(row, call, 0, 0xFFFFFFFF)));
    tokens.position.push_back(static_cast<std::uint32_t>(table.count(row, in_call, 0, 0xFFFFFFFF)));
    tokens.phase.push_back(TokenPhase::prefill);
  }
  TraceWriter writer(
      out,
      {.layers = 1,
       .experts = tokens.experts,
       .top_k = tokens.top_k,
       .ranked = tokens.ranked,
       .weights = WeightCoding::f32},
      {.model = model.name,
       .source = "vLLM layer 0 route log on GSM8K, " + std::filesystem::path(path).stem().string(),
       .first_layer = 0,
       .windows = {}});
  writer.append(tokens);
  writer.finish();
  if (progress) {
    progress(1.0);
  }
}

}  // namespace moesim::detail
