#include <numeric>

#include "sim/core/error.h"
#include "sim/training/stage_memory.h"

namespace moesim {

std::vector<ModelPart> split_model(const MoeModel& model, int parts, std::span<const int> layers,
                                   const std::string& where) {
  // The prediction modules come behind them and run with the head.
  const auto total =
      static_cast<int>(static_cast<std::int64_t>(model.layers.size()) - model.mtp_layers);
  std::vector<int> sizes(layers.begin(), layers.end());
  if (sizes.empty()) {
    sizes.assign(static_cast<std::size_t>(parts), total / parts);
    for (int i = 0; i < total % parts; ++i) {
      ++sizes[static_cast<std::size_t>(i)];
    }
  }
  if (static_cast<int>(sizes.size()) != parts ||
      std::accumulate(sizes.begin(), sizes.end(), 0) != total) {
    throw ConfigError(where, "needs " + std::to_string(parts) + " numbers of layers, " +
                                 std::to_string(total) + " in all");
  }
  std::vector<ModelPart> result;
  int first = 0;
  for (const int size : sizes) {
    result.push_back({.first_layer = first, .layers = size});
    first += size;
  }
  result.front().embedding = true;
  result.back().head = true;
  return result;
}

}  // namespace moesim
