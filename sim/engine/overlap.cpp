#include "sim/engine/overlap.h"

#include <array>

namespace moesim {
namespace {

constexpr std::array policies{
    OverlapEntry{"none", "kernels and collectives of a rank run one after the other"},
};

}  // namespace

std::span<const OverlapEntry> overlap_policies() { return policies; }

}  // namespace moesim
