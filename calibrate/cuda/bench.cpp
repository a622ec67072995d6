#include "calibrate/cuda/bench.h"

#include <algorithm>
#include <cmath>

namespace moesim::bench {
namespace {

constexpr double caches_to_exceed = 4;
constexpr double most_sets = 4096;

int current_attribute(cudaDeviceAttr which) {
  int device = 0;
  int value = 0;
  MOESIM_CHECK(cudaGetDevice(&device));
  MOESIM_CHECK(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

}  // namespace

Bench::Bench(Session& session, const Clocks& clocks, bool quick, int devices,
             std::function<void(const PlannedCase&)> progress)
    : session_(session),
      clocks_(clocks),
      quick_(quick),
      devices_(devices),
      progress_(std::move(progress)),
      stream_(make_stream()),
      cache_(current_attribute(cudaDevAttrL2CacheSize)),
      multiprocessors_(current_attribute(cudaDevAttrMultiProcessorCount)),
      architecture_(10 * current_attribute(cudaDevAttrComputeCapabilityMajor) +
                    current_attribute(cudaDevAttrComputeCapabilityMinor)) {}

int Bench::sets_of(Bytes one_set) const {
  const double sets = std::ceil(caches_to_exceed * (cache_ / one_set));
  return static_cast<int>(std::clamp(sets, 1.0, most_sets));
}

std::vector<double> Bench::time(int sets, Replay replay, const Launch& launch) const {
  return time_launches(stream_.get(), limits(), sets, replay, launch);
}

std::size_t whole_bytes(Bytes bytes) { return static_cast<std::size_t>(std::ceil(bytes.si())); }

}  // namespace moesim::bench
