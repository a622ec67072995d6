// One layer of one serving iteration: rows are tokens of distinct requests, columns e0.. their
// experts. The number of experts is not in the file; the model's name in the file name gives it.
#include <filesystem>

#include "sim/core/csv.h"
#include "sim/core/error.h"
#include "workloads/import/importers.h"

namespace moesim::detail {
namespace {

struct BatchName {
  std::string model;
  int experts = 0;
  int layer = 0;
};

// <model>_b<batch>_iter<i>_layer<l>
BatchName parse_name(const std::string& path) {
  const std::string stem = std::filesystem::path(path).stem().string();
  BatchName name;
  if (stem.starts_with("qwen_")) {
    name = {.model = "Qwen3-30B-A3B", .experts = 128};
  } else if (stem.starts_with("mixtral_")) {
    name = {.model = "Mixtral-8x7B", .experts = 8};
  }
  const auto at = stem.find("_layer");
  const std::string digits = at == std::string::npos ? "" : stem.substr(at + 6);
  if (name.experts == 0 || digits.empty() || digits.size() > 3 ||
      digits.find_first_not_of("0123456789") != std::string::npos) {
    throw ConfigError(path,
                      "the file's name does not tell model and layer; needs "
                      "<qwen|mixtral>_b<batch>_iter<i>_layer<l>.csv");
  }
  name.layer = std::stoi(digits);
  return name;
}

}  // namespace

void import_step_batches(const std::string& path, const std::string& out,
                         const Progress& progress) {
  const BatchName name = parse_name(path);
  const CsvTable table = CsvTable::read(path);
  std::vector<std::string> header;
  for (std::size_t k = 0; k < table.columns(); ++k) {
    header.push_back("e" + std::to_string(k));
  }
  table.check_header(header);
  table.check_has_rows();
  RoutedTokens tokens;
  tokens.layers = 1;
  tokens.experts = name.experts;
  tokens.top_k = static_cast<int>(table.columns());
  for (std::size_t row = 0; row < table.rows(); ++row) {
    for (std::size_t k = 0; k < table.columns(); ++k) {
      tokens.ids.push_back(static_cast<std::uint16_t>(table.count(row, k, 0, name.experts - 1)));
    }
    tokens.token_id.push_back(0);  // unknown
    tokens.request.push_back(static_cast<std::uint32_t>(row));
    tokens.position.push_back(1);  // unknown, but not a begin-of-sentence token
    tokens.phase.push_back(TokenPhase::decode);
  }
  TraceWriter writer(out, {.layers = 1, .experts = tokens.experts, .top_k = tokens.top_k},
                     {.model = name.model,
                      .source = "stanford-ppl/step_artifact @ "
                                "42f9250b945b785173b9a050f21c66b68884aade, " +
                                std::filesystem::path(path).stem().string(),
                      .first_layer = name.layer,
                      .windows = {}});
  writer.append(tokens);
  writer.finish();
  if (progress) {
    progress(1.0);
  }
}

}  // namespace moesim::detail
