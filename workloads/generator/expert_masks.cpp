#include "workloads/generator/expert_masks.h"

namespace moesim::detail {

ExpertMasks::ExpertMasks(const RoutedTokens& tokens)
    : tokens_(tokens.request.size()),
      words_((static_cast<std::size_t>(tokens.experts) + 63) / 64),
      bits_(static_cast<std::size_t>(tokens.layers) * tokens_ * words_) {
  const auto top_k = static_cast<std::size_t>(tokens.top_k);
  for (std::size_t slot = 0; slot < tokens.ids.size(); ++slot) {
    const std::size_t expert = tokens.ids[slot];
    bits_[slot / top_k * words_ + expert / 64] |= std::uint64_t{1} << (expert % 64);
  }
}

}  // namespace moesim::detail
