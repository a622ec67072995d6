// {"model": name, path or inline}: parameters, by component and active per token.
#include <nlohmann/json.hpp>

#include "models/network/moe_model_size.h"
#include "sim/core/config.h"
#include "sim/reproduce/run_kinds.h"

namespace moesim {

using Json = nlohmann::json;

RunReport run_model(const ScenarioDocument& document, const std::string& name,
                    const Library& library) {
  ConfigObject root(document.json, name + "#");
  const Json* reference = root.raw("model");
  if (reference == nullptr) {
    root.fail("model", "is missing; a catalogued model, a file or an inline object is needed");
  }
  root.reject_unknown_keys();
  const auto loaded = library.model(*reference, root.where("model"));
  const MoeModel& model = loaded->model;
  const ParameterCounts counts = count_parameters(model);
  const double without_routed = counts.active() - counts.active_routed_mean;
  Json report{{"total_parameters", counts.total()},
              {"active_parameters", counts.active()},
              {"active_parameters_least", without_routed + counts.active_routed_least},
              {"active_parameters_most", without_routed + counts.active_routed_most},
              {"active_parameters_without_embedding", counts.active_without_embedding()},
              {"layers", model.layers.size()},
              {"hidden", model.hidden},
              {"parameters",
               {{"embedding", counts.embedding},
                {"head", counts.head},
                {"attention", counts.attention},
                {"dense_ffn", counts.dense_ffn},
                {"router", counts.router},
                {"shared_experts", counts.shared_experts},
                {"latent", counts.latent},
                {"routed_experts", counts.routed_experts + counts.routed_vectors},
                {"vectors", counts.vectors}}},
              {"kv_bytes_per_token", kv_bytes_per_token(model, DType::bf16).si()}};
  return {std::make_shared<const Json>(std::move(report)), document.warnings};
}

}  // namespace moesim
