// Inside of the Hugging Face reader: shared by its sources only.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/config.h"

namespace moesim::detail {

// Reads keys and remembers which. null counts as absent, as Hugging Face means it.
class HfReader {
 public:
  HfReader(const nlohmann::json& config, std::string where);

  std::int64_t integer(std::string_view key, std::int64_t max);  // 1 or more
  std::int64_t integer_or(std::string_view key, std::int64_t default_value, std::int64_t max);
  bool boolean_or(std::string_view key, bool default_value);
  std::string text_or(std::string_view key, std::string_view default_value);
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t max);  // absent: none
  // Marks a key as looked at without a use for its value.
  void ignore(std::string_view key);
  [[noreturn]] void fail(std::string_view key, std::string_view what_is_wrong) const;

  // Throws for a key nobody read whose name speaks of sizes, unless it is known not to matter.
  void reject_unknown_shapes() const;

 private:
  bool has(std::string_view key);

  ConfigObject object_;
  std::set<std::string, std::less<>> read_;
};

inline constexpr std::int64_t hf_largest = 1 << 27;
inline constexpr std::int64_t hf_most_layers = 10000;

// {"repeat": n, "attention": ..., "ffn": [...]} for runs of equal entries of `moe`.
nlohmann::json hf_blocks(const std::vector<bool>& moe, const nlohmann::json& attention,
                         const nlohmann::json& dense, const nlohmann::json& sparse);

nlohmann::json hf_mla(HfReader& reader);
nlohmann::json hf_gqa(HfReader& reader);
nlohmann::json hf_dense(std::int64_t inter);
// Vocabulary, hidden size, tied embeddings, blocks.
nlohmann::json hf_document(HfReader& reader, bool tied_by_default, nlohmann::json blocks);

nlohmann::json read_deepseek_v2(HfReader& reader);
nlohmann::json read_deepseek_v3(HfReader& reader);
nlohmann::json read_longcat(HfReader& reader);
nlohmann::json read_mixtral(HfReader& reader);
nlohmann::json read_olmoe(HfReader& reader);
nlohmann::json read_qwen2_moe(HfReader& reader);
nlohmann::json read_qwen3_moe(HfReader& reader);
nlohmann::json read_pangu(HfReader& reader);
nlohmann::json read_llama(HfReader& reader);
nlohmann::json read_qwen2(HfReader& reader);
nlohmann::json read_qwen3(HfReader& reader);
nlohmann::json read_switch(HfReader& reader);

}  // namespace moesim::detail
