// Layer 0 of vLLM runs on GSM8K, ids and gate weights as logged: columns call, token_in_call,
// layer, e0.., w0... A request is an engine call; token ids are not in the logs.
#include <filesystem>

#include "sim/core/error.h"
#include "workloads/csv_rows.h"
#include "workloads/importers.h"

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
  const CsvTable table = read_csv(path);
  const auto call = table.column("call");
  const auto in_call = table.column("token_in_call");
  const auto layer = table.column("layer");
  const auto first_expert = table.column("e0");
  const auto first_weight = table.column("w0");
  if (first_weight <= first_expert || table.columns.size() != 2 * first_weight - first_expert) {
    throw ConfigError(path + ":1", "needs as many columns w0.. as e0.., in this order at the end");
  }
  RoutedTokens tokens;
  tokens.layers = 1;
  tokens.experts = model.experts;
  tokens.top_k = static_cast<int>(first_weight - first_expert);
  tokens.ranked = true;
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    table.integer(row, layer, 0, 0);
    for (std::size_t c = first_expert; c < first_weight; ++c) {
      tokens.ids.push_back(static_cast<std::uint16_t>(table.integer(row, c, 0, model.experts - 1)));
    }
    for (std::size_t c = first_weight; c < table.columns.size(); ++c) {
      tokens.weights.push_back(static_cast<float>(table.rows[row][c]));
      if (c > first_weight && table.rows[row][c] > table.rows[row][c - 1]) {
        tokens.ranked = false;
      }
    }
    tokens.token_id.push_back(0);  // unknown
    tokens.request.push_back(static_cast<std::uint32_t>(table.integer(row, call, 0, 0xFFFFFFFF)));
    tokens.position.push_back(
        static_cast<std::uint32_t>(table.integer(row, in_call, 0, 0xFFFFFFFF)));
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
