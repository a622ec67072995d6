// Prefill of user prompts through DeepSeek-V2-Lite-Chat: expert sets of every token in 26 layers.
#include <algorithm>
#include <array>

#include "sim/core/config.h"
#include "sim/core/csv.h"
#include "sim/core/error.h"
#include "workloads/import/importers.h"

namespace moesim::detail {
namespace {

constexpr int k_layers = 26;
constexpr int k_experts = 64;
constexpr int k_top_k = 6;
constexpr std::size_t k_token_bytes = std::size_t{k_layers} * k_top_k;

struct Prompt {
  std::uint32_t id = 0;
  std::size_t first = 0;
  std::size_t tokens = 0;
};

// Prompts must follow each other without a gap, so that every token belongs to one.
std::vector<Prompt> read_prompts(const std::string& path, std::size_t tokens) {
  const CsvTable table = CsvTable::read(path);
  table.check_has_rows();
  const auto id = table.column("prompt_id");
  const auto first = table.column("first_token");
  const auto count = table.column("num_tokens");
  const auto most = static_cast<std::int64_t>(tokens);
  std::vector<Prompt> prompts;
  std::size_t next = 0;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const Prompt prompt{.id = static_cast<std::uint32_t>(table.count(row, id, 0, 0xFFFFFFFF)),
                        .first = static_cast<std::size_t>(table.count(row, first, 0, most)),
                        .tokens = static_cast<std::size_t>(table.count(row, count, 1, most))};
    if (prompt.first != next || prompt.tokens > tokens - next) {
      throw ConfigError(path + ":" + std::to_string(table.line(row)),
                        "prompt of tokens " + std::to_string(prompt.first) + " to " +
                            std::to_string(prompt.first + prompt.tokens) +
                            "; prompts must follow each other from 0 and end at the " +
                            std::to_string(tokens) + " tokens of experts.u8");
    }
    next += prompt.tokens;
    prompts.push_back(prompt);
  }
  if (next != tokens) {
    throw ConfigError(path, "describes " + std::to_string(next) + " tokens; experts.u8 has " +
                                std::to_string(tokens));
  }
  return prompts;
}

void check_ids(const std::string& bytes, const std::string& path) {
  const auto bad = std::ranges::find_if(
      bytes, [](char byte) { return static_cast<unsigned char>(byte) >= k_experts; });
  if (bad != bytes.end()) {
    throw ConfigError(path + ", byte " + std::to_string(bad - bytes.begin()),
                      "expert id " + std::to_string(static_cast<unsigned char>(*bad)) +
                          "; the model has 64 (0 to 63)");
  }
}

RoutedTokens tokens_of(const Prompt& prompt, const std::string& ids, const std::string& types) {
  RoutedTokens tokens;
  tokens.layers = k_layers;
  tokens.experts = k_experts;
  tokens.top_k = k_top_k;
  tokens.ranked = false;  // the source's top-k was not sorted by gate
  tokens.ids.reserve(prompt.tokens * k_token_bytes);
  for (std::size_t l = 0; l < k_layers; ++l) {
    for (std::size_t t = prompt.first; t < prompt.first + prompt.tokens; ++t) {
      for (std::size_t k = 0; k < k_top_k; ++k) {
        tokens.ids.push_back(static_cast<unsigned char>(ids[t * k_token_bytes + l * k_top_k + k]));
      }
    }
  }
  for (std::size_t i = 0; i < prompt.tokens; ++i) {
    const std::size_t at = (prompt.first + i) * 2;
    tokens.token_id.push_back(static_cast<unsigned char>(types[at]) +
                              256U * static_cast<unsigned char>(types[at + 1]));
    tokens.request.push_back(prompt.id);
    tokens.position.push_back(static_cast<std::uint32_t>(i));
    tokens.phase.push_back(TokenPhase::prefill);
  }
  return tokens;
}

}  // namespace

void import_moe_beyond_deepseek_v2_lite(const std::string& path, const std::string& out,
                                        const Progress& progress) {
  const std::string ids_path = path + "/experts.u8";
  const std::string types_path = path + "/token_type.u16";
  const std::string ids = read_text_file(ids_path);
  const std::string types = read_text_file(types_path);
  const std::size_t tokens = ids.size() / k_token_bytes;
  if (ids.empty() || ids.size() % k_token_bytes != 0) {
    throw ConfigError(ids_path, std::to_string(ids.size()) +
                                    " bytes; needs a multiple of 26 layers x 6 experts = 156");
  }
  if (types.size() != tokens * 2) {
    throw ConfigError(types_path, std::to_string(types.size()) +
                                      " bytes; needs 2 for each of the " + std::to_string(tokens) +
                                      " tokens of experts.u8");
  }
  check_ids(ids, ids_path);
  const auto prompts = read_prompts(path + "/index.csv", tokens);
  TraceWriter writer(out, {.layers = k_layers, .experts = k_experts, .top_k = k_top_k},
                     {.model = "DeepSeek-V2-Lite-Chat",
                      .source = "ngavhane/moe-beyond @ 4dca2eacb7bc0a3086770a4de7a57cc0b81479bd "
                                "(prefill of Puffin prompts, 8-bit weights)",
                      .first_layer = 1,  // layer 0 is dense
                      .windows = {}});
  for (const Prompt& prompt : prompts) {
    writer.append(tokens_of(prompt, ids, types));
    if (progress) {
      progress(static_cast<double>(prompt.first + prompt.tokens) / static_cast<double>(tokens));
    }
  }
  writer.finish();
}

}  // namespace moesim::detail
