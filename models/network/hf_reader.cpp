// How keys of a config.json are read, and which may be left unread.
#include "models/network/hf_reader.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"

namespace moesim::detail {

using Json = nlohmann::json;

namespace {

// Words in a key that make it a shape.
constexpr auto shape_words = std::to_array<std::string_view>(
    {"num_",  "size",  "dim",    "rank",   "layer",  "expert", "head",
     "inter", "group", "topk",   "top_k",  "bias",   "hidden", "tie_",
     "width", "depth", "latent", "window", "sparse", "share",  "block"});

// Keys with such words that change neither parameters nor work of a forward pass.
constexpr auto harmless_keys = std::to_array<std::string_view>({
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "encoder_no_repeat_ngram_size",
    "ep_size",
    "expert_capacity",
    "hidden_act",
    "hidden_activation",
    "hidden_dropout",
    "hidden_dropout_prob",
    "indexer_rope_interleave",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "mamba_hidden_act",
    "max_window_layers",
    "mlp_hidden_act",
    "moe_shared_expert_overlap",
    "no_repeat_ngram_size",
    "norm_topk_prob",
    "num_beam_groups",
    "num_beams",
    "num_logits_to_keep",
    "num_nextn_predict_layers",
    "num_return_sequences",
    "output_hidden_states",
    "pruned_heads",
    "qk_head_dim",
    "relative_attention_num_buckets",
    "rescale_prenorm_residual",
    "rope_interleave",
    "rotary_dim",
    "router_z_loss_coef",
    "tie_encoder_decoder",
    "top_k",
});

bool is_shape(std::string_view key) {
  return std::ranges::any_of(shape_words, [key](std::string_view word) {
    return key.find(word) != std::string_view::npos;
  });
}

bool asks_for_nothing(const Json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         (value.is_number() && value.get<double>() == 0.0) ||
         ((value.is_array() || value.is_object() || value.is_string()) && value.empty());
}

}  // namespace

HfReader::HfReader(const Json& config, std::string where) : object_(config, std::move(where)) {}

bool HfReader::has(std::string_view key) {
  read_.emplace(key);
  const auto found = object_.json().find(key);
  return found != object_.json().end() && !found->is_null();
}

std::int64_t HfReader::integer(std::string_view key, std::int64_t max) {
  read_.emplace(key);
  return object_.integer(key, 1, max);
}

std::int64_t HfReader::integer(std::initializer_list<std::string_view> names, std::int64_t max) {
  for (const std::string_view name : names) {
    if (has(name)) {
      return integer(name, max);
    }
  }
  return integer(*names.begin(), max);
}

std::int64_t HfReader::integer_or(std::string_view key, std::int64_t default_value,
                                  std::int64_t max) {
  return has(key) ? object_.integer(key, 0, max) : default_value;
}

std::int64_t HfReader::documented(std::string_view key, std::int64_t default_value,
                                  std::int64_t max) {
  if (has(key)) {
    return integer(key, max);
  }
  note(std::string(key) + " is missing: " + std::to_string(default_value) +
       ", the documented default of the model's class");
  return default_value;
}

bool HfReader::boolean_or(std::string_view key, bool default_value) {
  return has(key) ? object_.boolean_or(key, default_value) : default_value;
}

std::string HfReader::text_or(std::string_view key, std::string_view default_value) {
  return has(key) ? object_.text(key) : std::string(default_value);
}

std::vector<std::int64_t> HfReader::integers(std::string_view key, std::int64_t max) {
  return has(key) ? object_.integers(key, 0, max) : std::vector<std::int64_t>{};
}

std::vector<std::string> HfReader::texts(std::string_view key) {
  return has(key) ? object_.texts(key) : std::vector<std::string>{};
}

const Json* HfReader::raw(std::string_view key) {
  return has(key) ? &object_.json()[std::string(key)] : nullptr;
}

HfReader HfReader::object(std::string_view key) {
  const Json* value = raw(key);
  if (value == nullptr) {
    fail(key, "is missing; an object {...} is needed");
  }
  return {*value, object_.where(key)};
}

void HfReader::ignore(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    read_.emplace(key);
  }
}

void HfReader::fail(std::string_view key, std::string_view what_is_wrong) const {
  object_.fail(key, what_is_wrong);
}

void HfReader::note(std::string text) {
  if (std::ranges::find(notes_, text) == notes_.end()) {
    notes_.push_back(std::move(text));
  }
}

void HfReader::reject_unknown_shapes() const {
  for (const std::string& key : object_.keys()) {
    if (read_.contains(key) || !is_shape(key) || asks_for_nothing(object_.json()[key]) ||
        std::ranges::find(harmless_keys, key) != harmless_keys.end()) {
      continue;
    }
    object_.fail(key,
                 "looks like a shape that the reader of this architecture does not know; if it "
                 "changes nothing, remove it, else write the model in our own schema");
  }
}

}  // namespace moesim::detail
