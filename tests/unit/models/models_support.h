// Shared by the tests of models/.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/network/moe_model.h"
#include "sim/core/catalog.h"

namespace moesim::test {

inline std::vector<std::string> catalog_dirs() { return {MOESIM_SOURCE_DIR "/models/catalog"}; }

inline MoeModel catalog_model(const std::string& name) {
  return load_model(name, "test#/model", catalog_dirs());
}

inline MoeModel model_of(const nlohmann::json& document) {
  return parse_model(document, "m.json#");
}

// The smallest MoE model that uses every kind of component: one dense and one MoE layer.
inline nlohmann::json tiny_model() {
  return nlohmann::json::parse(R"({
    "name": "tiny", "hidden": 64, "vocabulary": 100,
    "blocks": [
      {"attention": {"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16},
       "ffn": [{"kind": "dense", "inter": 96}]},
      {"repeat": 2,
       "attention": {"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16},
       "ffn": [{"kind": "moe", "experts": [{"count": 8, "inter": 32}],
                "shared": [{"count": 2, "inter": 32}], "router": {"top_k": 2}}]}
    ]})");
}

// The same with every kind of attention in its dense layer, biases in experts, two residual
// streams.
inline std::vector<nlohmann::json> models_of_every_attention() {
  std::vector<nlohmann::json> documents;
  for (const char* attention : {
           R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16, "value_dim": 8,
               "window": 20, "sinks": true, "head_gate": true, "qk_norm": "head"})",
           R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16, "chunk": 20,
               "output_gate": true})",
           R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16, "keys_are_values": true})",
           R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16, "reuses_kv": true})",
           R"({"kind": "mla", "heads": 8, "q_rank": 24, "kv_rank": 32, "nope_dim": 12,
               "rope_dim": 4, "value_dim": 10,
               "indexer": {"heads": 4, "head_dim": 8, "top_k": 16}})",
           R"({"kind": "linear", "value_heads": 8, "key_heads": 8, "key_dim": 16, "value_dim": 16,
               "conv_width": 0, "delta": false})",
           R"({"kind": "mamba", "heads": 8, "head_dim": 12, "state_dim": 16, "groups": 2})",
           R"({"kind": "mamba", "heads": 96, "head_dim": 1, "state_dim": 16, "dt_rank": 6,
               "state_norms": true})",
           R"({"kind": "compressed", "heads": 8, "head_dim": 16, "rope_dim": 4, "q_rank": 24,
               "window": 16, "o_groups": 4, "o_rank": 12, "sinks": true})",
           R"({"kind": "compressed", "heads": 8, "head_dim": 16, "rope_dim": 4, "q_rank": 24,
               "window": 16, "compress": 32, "o_groups": 4, "o_rank": 12})",
           R"({"kind": "compressed", "heads": 8, "head_dim": 16, "rope_dim": 4, "q_rank": 24,
               "window": 16, "compress": 4, "o_groups": 4, "o_rank": 12,
               "indexer": {"heads": 4, "head_dim": 8, "top_k": 4}})",
           R"({"kind": "none"})",
       }) {
    nlohmann::json document = tiny_model();
    document["name"] = attention;
    document["blocks"][0]["attention"] = nlohmann::json::parse(attention);
    document["blocks"][1]["ffn"][0]["experts"][0]["bias"] = true;
    document["residual_streams"] = 2;
    documents.push_back(document);
  }
  return documents;
}

}  // namespace moesim::test
