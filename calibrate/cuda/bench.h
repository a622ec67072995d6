// What every family of benchmarks gets to work with.
#pragma once

#include <functional>
#include <memory>

#include "calibrate/cuda/device/clocks.h"
#include "calibrate/cuda/device/timer.h"
#include "calibrate/cuda/host/session.h"

namespace moesim::bench {

class Bench {
 public:
  // `progress` is called before each case. The current device is the one that is measured.
  Bench(Session& session, const Clocks& clocks, bool quick, int devices,
        std::function<void(const PlannedCase&)> progress);

  // Runs `samples(case)` for every case that the session wants; it returns milliseconds.
  template <class Case, class Samples>
  void each(const std::vector<Case>& grid, const Samples& samples) {
    for (const Case& item : grid) {
      const PlannedCase plan = planned(item);
      progress_(plan);
      if (session_.wants(plan)) {
        session_.run(plan, [&] { return Measurement{samples(item), clocks_.sm_mhz()}; });
      }
    }
  }

  // So many sets of operands that all together exceed four times the second-level cache; at most
  // 4096, so that a set of less than 50 kB may stay in the cache of a large device.
  [[nodiscard]] int sets_of(Bytes one_set) const;
  [[nodiscard]] std::vector<double> time(int sets, Replay replay, const Launch& launch) const;

  [[nodiscard]] cudaStream_t stream() const { return stream_.get(); }
  [[nodiscard]] bool quick() const { return quick_; }
  [[nodiscard]] int devices() const { return devices_; }
  [[nodiscard]] int multiprocessors() const { return multiprocessors_; }
  // Major times ten plus minor: 90.
  [[nodiscard]] int architecture() const { return architecture_; }
  [[nodiscard]] TimingLimits limits() const { return timing_limits(quick_); }

 private:
  Session& session_;
  const Clocks& clocks_;
  bool quick_;
  int devices_;
  std::function<void(const PlannedCase&)> progress_;
  Stream stream_;
  Bytes cache_;
  int multiprocessors_ = 0;
  int architecture_ = 0;
};

std::size_t whole_bytes(Bytes bytes);

}  // namespace moesim::bench
