// The sharing law of backend.h for one set of live segments. A resource is exhausted when less than
// sharing_precision of its nominal rate is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace moesim::detail {

// Segments and resources are numbered from 0 in the order in which they are added.
// Reused from call to call, so that solving allocates nothing once the buffers have grown.
class FairBottleneck {
 public:
  void clear();
  // `fraction`: of its nominal rate that there is; >= 0. Returns its number.
  std::uint32_t add_resource(double fraction);
  void begin_segment();
  // `seconds`: how long the whole resource would need for the whole segment at its nominal rate;
  // > 0.
  void add_use(std::uint32_t resource, double seconds);

  // Paces in segments per second, by segment. Valid until clear().
  std::span<const double> solve();

  // Rounds that all calls of solve() took.
  [[nodiscard]] std::uint64_t rounds() const { return rounds_; }

 private:
  struct Use {
    std::uint32_t resource = 0;
    double seconds = 0.0;
  };
  struct Load {
    double remaining = 1.0;
    double share = 0.0;
    std::uint32_t live_users = 0;
  };
  [[nodiscard]] std::span<const Use> uses(std::size_t segment) const;
  void raise_live_paces();
  void charge_resources();
  void retire_segments();

  std::vector<Use> uses_;
  std::vector<std::uint32_t> first_use_;  // by segment
  std::vector<Load> loads_;               // by resource
  std::vector<double> paces_;
  std::vector<double> increments_;  // of the last round in which the segment was live
  std::vector<std::uint32_t> live_;
  std::uint64_t rounds_ = 0;
};

}  // namespace moesim::detail
