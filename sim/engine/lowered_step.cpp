#include "sim/engine/lowered_step.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, k_categories> names{"embedding",
                                                           "attention",
                                                           "dense_ffn",
                                                           "router",
                                                           "shared_expert",
                                                           "dispatch",
                                                           "experts",
                                                           "combine",
                                                           "tensor_parallel",
                                                           "head",
                                                           "context_parallel",
                                                           "pipeline_send",
                                                           "gradient_reduction",
                                                           "parameter_gather",
                                                           "optimizer"};

}  // namespace

std::string_view name_of(Category category) { return names.at(static_cast<std::size_t>(category)); }

bool is_communication(Category category) {
  switch (category) {
    case Category::dispatch:
    case Category::combine:
    case Category::tensor_parallel:
    case Category::context_parallel:
    case Category::pipeline_send:
    case Category::gradient_reduction:
    case Category::parameter_gather:
      return true;
    default:
      return false;
  }
}

}  // namespace moesim
