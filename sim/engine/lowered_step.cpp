#include "sim/engine/lowered_step.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, k_categories> names{
    "embedding", "attention", "dense_ffn", "router",          "shared_expert",
    "dispatch",  "experts",   "combine",   "tensor_parallel", "head"};

}  // namespace

std::string_view name_of(Category category) { return names.at(static_cast<std::size_t>(category)); }

bool is_communication(Category category) {
  return category == Category::dispatch || category == Category::combine ||
         category == Category::tensor_parallel;
}

}  // namespace moesim
