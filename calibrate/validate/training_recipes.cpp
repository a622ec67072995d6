#include "calibrate/validate/training_recipes.h"

#include <array>

namespace moesim {

std::string_view framework_name(Launches captured) {
  switch (captured) {
    case Launches::nothing:
      return "megatron";
    case Launches::router:
      return "megatron_router_graphs";
    case Launches::attention:
      return "megatron_graphs";
    case Launches::all:
      return "megatron_full_graphs";
  }
  return "megatron";
}

std::span<const TrainingRecipe> training_recipes() {
  static constexpr std::array recipes{
      TrainingRecipe{"deepseek-v3", "gb200", "25.11", "mla_up_proj", "hybridep", Launches::router,
                     false},
      TrainingRecipe{"deepseek-v3", "gb200", "26.02", "mla_up_proj", "hybridep",
                     Launches::attention, false},
      TrainingRecipe{"deepseek-v3", "gb200", "26.04", "mlp", "hybridep", Launches::attention,
                     false},
      TrainingRecipe{"deepseek-v3", "gb200", "26.06", "mla_up_proj", "hybridep", Launches::all,
                     true},
      TrainingRecipe{"deepseek-v3", "b300_sxm", "26.02", "mla_up_proj", "hybridep",
                     Launches::nothing, false},
      TrainingRecipe{"deepseek-v3", "b300_sxm", "26.06", "mla_up_proj", "hybridep",
                     Launches::attention, false},
      TrainingRecipe{"deepseek-v3", "b200_sxm", "25.11", "mla_up_proj", "alltoall",
                     Launches::nothing, false},
      TrainingRecipe{"deepseek-v3", "b200_sxm", "26.02", "mla_up_proj", "hybridep",
                     Launches::nothing, false},
      TrainingRecipe{"deepseek-v3", "h100_sxm", "25.11", "mla_up_proj mlp", "deepep",
                     Launches::nothing, true},
      TrainingRecipe{"deepseek-v4-flash", "gb200", "26.08", "mla_up_proj", "hybridep",
                     Launches::all, false},
      TrainingRecipe{"gpt-oss-120b", "gb200", "25.11", "layernorm moe_act", "alltoall",
                     Launches::nothing, false},
      TrainingRecipe{"gpt-oss-120b", "gb200", "26.04", "layernorm moe_act", "hybridep",
                     Launches::nothing, true},
      TrainingRecipe{"gpt-oss-120b", "gb200", "26.06", "", "hybridep", Launches::all, true},
      TrainingRecipe{"gpt-oss-120b", "b300_sxm", "26.02", "", "alltoall", Launches::attention,
                     false},
      TrainingRecipe{"gpt-oss-120b", "b300_sxm", "26.04", "", "hybridep", Launches::attention,
                     false},
      TrainingRecipe{"gpt-oss-120b", "b200_sxm", "25.11", "layernorm moe_act", "alltoall",
                     Launches::nothing, false},
      TrainingRecipe{"gpt-oss-120b", "b200_sxm", "26.04", "layernorm moe_act", "hybridep",
                     Launches::nothing, false},
      TrainingRecipe{"gpt-oss-120b", "h100_sxm", "25.11", "layernorm moe_act", "alltoall",
                     Launches::nothing, false},
      TrainingRecipe{"nemotron-3-nano-30b-a3b", "gb200", "26.04", "", "hybridep",
                     Launches::attention, false},
      TrainingRecipe{"nemotron-3-nano-30b-a3b", "b300_sxm", "26.04", "", "hybridep",
                     Launches::attention, false},
      TrainingRecipe{"nemotron-3-nano-30b-a3b", "b200_sxm", "26.04", "", "hybridep",
                     Launches::attention, false},
      TrainingRecipe{"nemotron-3-nano-30b-a3b", "h100_sxm", "26.04",
                     "moe layernorm core_attn moe_act", "hybridep", Launches::attention, false},
      TrainingRecipe{"nemotron-3-super-120b-a12b", "gb200", "26.04", "", "hybridep",
                     Launches::attention, false},
      TrainingRecipe{"nemotron-3-super-120b-a12b", "b300_sxm", "26.04", "", "hybridep",
                     Launches::attention, false},
      TrainingRecipe{"nemotron-3-super-120b-a12b", "b200_sxm", "26.04", "", "hybridep",
                     Launches::attention, false},
      TrainingRecipe{"qwen3-235b-a22b", "gb200", "25.11", "", "hybridep", Launches::attention,
                     false},
      TrainingRecipe{"qwen3-235b-a22b", "gb200", "26.06", "", "hybridep", Launches::all, true},
      TrainingRecipe{"qwen3-235b-a22b", "b300_sxm", "26.02", "", "alltoall", Launches::nothing,
                     true},
      TrainingRecipe{"qwen3-235b-a22b", "b300_sxm", "26.04", "", "alltoall", Launches::nothing,
                     false},
      TrainingRecipe{"qwen3-235b-a22b", "b200_sxm", "25.11", "", "alltoall", Launches::nothing,
                     true},
      TrainingRecipe{"qwen3-235b-a22b", "b200_sxm", "26.02", "", "alltoall", Launches::nothing,
                     false},
      TrainingRecipe{"qwen3-235b-a22b", "h100_sxm", "25.11", "", "alltoall", Launches::nothing,
                     true},
      TrainingRecipe{"qwen3-30b-a3b", "gb200", "25.11", "", "hybridep", Launches::router, false},
      TrainingRecipe{"qwen3-30b-a3b", "gb200", "26.06", "", "hybridep", Launches::all, true},
      TrainingRecipe{"qwen3-30b-a3b", "b300_sxm", "26.02", "", "hybridep", Launches::router, false},
      TrainingRecipe{"qwen3-30b-a3b", "b300_sxm", "26.06", "", "hybridep", Launches::all, true},
      TrainingRecipe{"qwen3-30b-a3b", "b200_sxm", "25.11", "", "alltoall", Launches::router, false},
      TrainingRecipe{"qwen3-30b-a3b", "b200_sxm", "26.04", "", "hybridep", Launches::attention,
                     false},
      TrainingRecipe{"qwen3-30b-a3b", "h100_sxm", "25.11", "", "alltoall", Launches::nothing, true},
      TrainingRecipe{"qwen3-30b-a3b", "h100_sxm", "26.02", "", "deepep", Launches::nothing, true},
      TrainingRecipe{"qwen3-30b-a3b", "h100_sxm", "26.04", "", "hybridep", Launches::nothing,
                     false}};
  return recipes;
}

const TrainingRecipe* find_training_recipe(std::string_view model, std::string_view system,
                                           std::string_view release) {
  const TrainingRecipe* found = nullptr;
  for (const TrainingRecipe& recipe : training_recipes()) {
    // Releases are year.month with leading zeros: their names order them.
    if (recipe.model == model && recipe.system == system &&
        (found == nullptr || recipe.release <= release)) {
      found = &recipe;
    }
  }
  return found;
}

}  // namespace moesim
