// What NVML tells: clocks now, and the driver's version. NVML belongs to the driver, so it is
// looked for when the program runs; without it clocks are the device's nominal ones.
#pragma once

#include <memory>
#include <string>

namespace moesim::bench {

class Clocks {
 public:
  // Of the device that CUDA counts as `device`.
  explicit Clocks(int device);
  ~Clocks();
  Clocks(const Clocks&) = delete;
  Clocks& operator=(const Clocks&) = delete;

  [[nodiscard]] int sm_mhz() const;
  [[nodiscard]] int memory_mhz() const;
  [[nodiscard]] std::string driver_version() const;

 private:
  struct Library;
  [[nodiscard]] int clock(unsigned type, int nominal) const;

  std::unique_ptr<Library> library_;  // empty: no NVML
  int nominal_sm_mhz_ = 0;
  int nominal_memory_mhz_ = 0;
};

}  // namespace moesim::bench
