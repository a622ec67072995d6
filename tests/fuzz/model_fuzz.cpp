// A model document, ours or a Hugging Face config.json. An accepted model has sizes that make
// sense, the same ones when it is read from its own effective document, and operators.
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/network/hf_config.h"
#include "models/network/moe_model.h"
#include "models/network/moe_model_size.h"
#include "models/operators/operators.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/fuzz/oracle.h"

namespace {

using Json = nlohmann::json;
using moesim::fuzz::require;

void check_sizes(const moesim::MoeModel& model) {
  const moesim::ParameterCounts counts = moesim::count_parameters(model);
  for (const double count :
       {counts.embedding, counts.head, counts.attention, counts.dense_ffn, counts.router,
        counts.shared_experts, counts.latent, counts.routed_experts, counts.vectors}) {
    require(std::isfinite(count) && count >= 0, "a parameter count is finite and not negative");
    require(counts.total() >= count, "the total holds every part");
  }
  require(counts.active_routed_least <= counts.active_routed_mean &&
              counts.active_routed_mean <= counts.active_routed_most,
          "the mean of active parameters lies between its bounds");
  const double weights = moesim::weight_bytes(model, {}).total(model).si();
  require(std::isfinite(weights) && weights > 0, "weights take bytes");
  require(moesim::kv_bytes_per_token(model, moesim::DType::bf16).si() >= 0, "no negative KV cache");
  require(moesim::state_bytes_per_sequence(model).si() >= 0, "no negative state");
}

void check_operators(const moesim::MoeModel& model) {
  const auto precision = moesim::precision_preset("bf16", "fuzz");
  for (const moesim::Block& block : model.blocks) {
    const bool encoder = block.stack == moesim::Stack::encoder;
    const moesim::AttentionBatch batch{
        .phase = encoder ? moesim::Phase::prefill : moesim::Phase::decode,
        .sequences = 3,
        .query_len = encoder ? 8 : 1,
        .context = 8,
        .source = 8};
    require(!moesim::attention_ops(model, block, batch, precision).empty(),
            "attention needs an operator");
  }
  require(!moesim::head_ops(model, 3, precision).empty(), "the head needs an operator");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const Json document = moesim::parse_json(moesim::fuzz::as_text(data, size), "fuzz.json");
    if (!document.is_object()) {
      return 0;  // a text would name a file
    }
    Json effective;
    const moesim::MoeModel model = moesim::load_model(document, "fuzz.json#", {}, &effective);
    check_sizes(model);
    const moesim::MoeModel again = moesim::parse_model(effective, "effective.json#");
    require(moesim::count_parameters(again).total() == moesim::count_parameters(model).total() &&
                again.layers == model.layers,
            "the effective document is the same model");
    check_operators(model);
    moesim::routing_shape(model);
  } catch (const moesim::ConfigError&) {
  }
  return 0;
}
