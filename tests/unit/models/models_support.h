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

}  // namespace moesim::test
