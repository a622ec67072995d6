#include "sim/engine/lowering/interference.h"

#include <algorithm>
#include <array>

namespace moesim {
namespace {

// How many multiprocessors an algorithm's kernels occupy.
struct Occupancy {
  std::string_view algorithm;
  int multiprocessors = 0;
  bool of_law = false;  // as many as the fitted law's kernels were given, if it says so
  std::string_view source;
};

constexpr std::array occupancies{
    Occupancy{.algorithm = "deepep_normal",
              .multiprocessors = 20,
              .of_law = true,
              .source = "multiprocessors that the measured kernels were given; else 20 of 132 "
                        "(DeepSeek-V3 technical report, arXiv:2412.19437, section 3.2.2)"},
    Occupancy{.algorithm = "deepep_low_latency",
              .source = "none: with its receiving hook the traffic takes no multiprocessors "
                        "(github.com/deepseek-ai/DeepEP and profile-data, 2025-02-27)"},
    Occupancy{.algorithm = "deepep_v2",
              .multiprocessors = 6,
              .source = "4 to 6 instead of 24 (github.com/deepseek-ai/DeepEP, release 2)"},
};

HeldShare row_of(const LoweringInput& input, const CommProvenance& used) {
  HeldShare row{.communication = used.family, .source = "unknown: no published figure"};
  for (const Occupancy& known : occupancies) {
    const std::string prefix = "all_to_all/" + std::string(known.algorithm) + "/";
    if (!used.family.starts_with(prefix)) {
      continue;
    }
    row.multiprocessors =
        known.of_law && used.multiprocessors > 0 ? used.multiprocessors : known.multiprocessors;
    row.source = known.source;
    // A kernel never takes the whole device from the others.
    row.fraction = input.multiprocessors > row.multiprocessors
                       ? static_cast<double>(row.multiprocessors) / input.multiprocessors
                       : 0.0;
  }
  return row;
}

}  // namespace

Interference::Interference(const LoweringInput& input) {
  for (const CommProvenance& used : comm_provenance(input)) {
    rows_.push_back(row_of(input, used));
  }
}

double Interference::of(std::string_view communication) const {
  const auto found = std::ranges::find(rows_, communication, &HeldShare::communication);
  return found == rows_.end() ? 0.0 : found->fraction;
}

}  // namespace moesim
