// Inside of the Hugging Face reader: shared by its sources only.
#pragma once

#include <cstdint>
#include <initializer_list>
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

  [[nodiscard]] bool has(std::string_view key);
  std::int64_t integer(std::string_view key, std::int64_t max);  // 1 or more
  // Of the names that a key has had, the first that is there.
  std::int64_t integer(std::initializer_list<std::string_view> names, std::int64_t max);
  std::int64_t integer_or(std::string_view key, std::int64_t default_value, std::int64_t max);
  // What the vendor's class documents, where the key is absent; the notes say so.
  std::int64_t documented(std::string_view key, std::int64_t default_value, std::int64_t max);
  bool boolean_or(std::string_view key, bool default_value);
  std::string text_or(std::string_view key, std::string_view default_value);
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t max);  // absent: none
  std::vector<std::string> texts(std::string_view key);                        // absent: none
  // A value that the caller interprets; nullptr if absent.
  const nlohmann::json* raw(std::string_view key);
  // A reader of an object inside, whose keys are the caller's to check. Throws if it is absent.
  HfReader object(std::string_view key);
  // Marks keys as looked at without a use for their values.
  void ignore(std::initializer_list<std::string_view> keys);
  [[nodiscard]] std::string where(std::string_view key) const { return object_.where(key); }
  [[noreturn]] void fail(std::string_view key, std::string_view what_is_wrong) const;
  void note(std::string text);
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

  // Throws for a key nobody read whose name speaks of sizes, unless it is known not to matter or
  // its value (false, 0, nothing) asks for nothing.
  void reject_unknown_shapes() const;

 private:
  ConfigObject object_;
  std::set<std::string, std::less<>> read_;
  std::vector<std::string> notes_;
};

inline constexpr std::int64_t hf_largest = 1 << 27;
inline constexpr std::int64_t hf_most_layers = 10000;

// Layers of a model, each {"attention": ..., "ffn": [...]}.
using HfLayers = std::vector<nlohmann::json>;

// {"repeat": n, ...} for runs of equal layers.
nlohmann::json hf_runs(const HfLayers& layers);

std::int64_t hf_layer_count(HfReader& reader);
nlohmann::json hf_layer(const nlohmann::json& attention, const nlohmann::json& ffn);
// One layer for each entry: the sparse or the dense FFN behind the attention.
HfLayers hf_layers(const std::vector<bool>& moe, const nlohmann::json& attention,
                   const nlohmann::json& dense, const nlohmann::json& sparse);

nlohmann::json hf_dense(std::int64_t inter, int matrices = 3);
nlohmann::json hf_moe(std::int64_t experts, std::int64_t inter, nlohmann::json router);
// Of DeepSeek-V3's key names: a biased router over groups of experts.
nlohmann::json hf_grouped_moe(HfReader& reader, std::int64_t inter);
nlohmann::json hf_shared(std::int64_t count, std::int64_t inter, bool gated = false);

// Grouped-query attention. kv_heads_default: what the class documents; 0: as many as heads.
// head_dim_default: 0: hidden_size / heads.
// heads_default: 0: the key must be there.
nlohmann::json hf_gqa(HfReader& reader, std::int64_t kv_heads_default,
                      std::int64_t head_dim_default = 0, std::int64_t heads_default = 0);
nlohmann::json hf_mla(HfReader& reader);
// An attention_bias that means q, k, v and (with_output) o.
void hf_attention_bias(HfReader& reader, nlohmann::json& attention, bool with_output,
                       bool default_value = false);

// The kinds of all layers: layer_types if it is there, else `otherwise` of each index. Throws for a
// kind that is not in `known`.
std::vector<std::string> hf_layer_types(HfReader& reader, std::int64_t layers,
                                        std::initializer_list<std::string_view> known,
                                        std::string_view (*otherwise)(std::int64_t));
// The same attention, with a window for "sliding_attention" and chunks for "chunked_attention".
nlohmann::json hf_windowed(nlohmann::json attention, std::string_view layer_type,
                           std::int64_t window);

// Vocabulary, hidden size, tied embeddings, blocks.
nlohmann::json hf_document(HfReader& reader, bool tied_by_default, HfLayers layers,
                           std::int64_t vocabulary_default = 0);
// Modules that `document`'s weights come with, each one `layer`.
void hf_mtp(nlohmann::json& document, std::int64_t count, const nlohmann::json& layer);

// Stored bits of every layer's components, as quantization_config says; `document` has one entry
// per layer. `outer` is the whole file, whose quantization_config counts where `reader` has none.
void hf_quantise(HfReader& reader, const nlohmann::json& outer, const std::string& where,
                 nlohmann::json& document);

nlohmann::json read_dbrx(HfReader& reader);
nlohmann::json read_deepseek_v1(HfReader& reader);
nlohmann::json read_deepseek_v2(HfReader& reader);
nlohmann::json read_deepseek_v3(HfReader& reader);
nlohmann::json read_deepseek_sparse(HfReader& reader);
nlohmann::json read_deepseek_v4(HfReader& reader);
nlohmann::json read_ernie(HfReader& reader);
nlohmann::json read_gemma2(HfReader& reader);
nlohmann::json read_gemma3(HfReader& reader);
nlohmann::json read_gemma4(HfReader& reader);
nlohmann::json read_glm_moe(HfReader& reader);
nlohmann::json read_gpt_oss(HfReader& reader);
nlohmann::json read_granite_moe(HfReader& reader);
nlohmann::json read_granite_hybrid(HfReader& reader);
nlohmann::json read_jamba(HfReader& reader);
nlohmann::json read_llama(HfReader& reader);
nlohmann::json read_llama4(HfReader& reader);
nlohmann::json read_longcat(HfReader& reader);
nlohmann::json read_mimo(HfReader& reader);
nlohmann::json read_mimo_v2(HfReader& reader);
nlohmann::json read_minimax_m2(HfReader& reader);
nlohmann::json read_mistral(HfReader& reader);
nlohmann::json read_mixtral(HfReader& reader);
nlohmann::json read_nemotron_h(HfReader& reader);
nlohmann::json read_nemotron_nas(HfReader& reader);
nlohmann::json read_olmoe(HfReader& reader);
nlohmann::json read_pangu(HfReader& reader);
nlohmann::json read_qwen2(HfReader& reader);
nlohmann::json read_qwen2_moe(HfReader& reader);
nlohmann::json read_qwen3(HfReader& reader);
nlohmann::json read_qwen3_moe(HfReader& reader);
nlohmann::json read_qwen3_next(HfReader& reader);
nlohmann::json read_step(HfReader& reader);
nlohmann::json read_switch(HfReader& reader);

}  // namespace moesim::detail
