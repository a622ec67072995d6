// Widths of the models that measured files name without giving their shapes.
#pragma once

#include <cstdint>
#include <string_view>

namespace moesim::detail {

// As the models' config.json give them; 0: the model has no such part.
struct ModelWidths {
  std::string_view name;  // lower case
  std::int64_t hidden;
  std::int64_t heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  std::int64_t inter;  // of dense FFNs
  std::int64_t vocabulary;
  std::int64_t experts;
  std::int64_t top_k;
  std::int64_t expert_inter;
  bool qk_norm;  // queries and keys are normalised, within the timed projection where that is one
};

// Upper and lower case do not matter; "-tiny", a cut-down number of experts and layers, neither.
// nullptr for another model.
const ModelWidths* find_model_widths(std::string_view name);

}  // namespace moesim::detail
