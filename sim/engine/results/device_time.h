// What devices do with a step's time.
#pragma once

#include <array>
#include <vector>

#include "sim/engine/lowered_step.h"
#include "sim/flow/backend.h"

namespace moesim {

// Of one device, in seconds; idle_s + busy_s is the makespan, however many streams it has.
struct DeviceTime {
  double busy_s = 0.0;     // at least one task runs
  double kernels_s = 0.0;  // of busy_s: at least one of them is no communication
  double idle_s = 0.0;     // the gaps
  double hidden_s = 0.0;   // of kernels_s: communication runs as well
};

// A device's time goes to the task that runs; where several run, in equal parts to those that are
// no communication, if there are any. What communication gets is therefore what it exposes.
struct TimeUse {
  std::vector<DeviceTime> devices;
  std::vector<double> given_s;  // per task, over all its devices
  // Per category of communication, per task that is none: time of such communication that it hides,
  // over all its devices. Communication that several kernels run beside is hidden by them in equal
  // parts, and of several communications each counts an equal part of the time. Empty: none is.
  std::array<std::vector<double>, k_categories> hidden_s;
};

// Throws InvariantError if idle_s + busy_s is not the makespan on some device.
TimeUse time_use(const LoweredStep& step, const RunResult& result);

// Means over the devices. busy_s and waiting_s add up to the makespan.
struct MeanDevice {
  std::array<double, k_categories> busy_s{};  // time given to tasks, split over their kernels
  double waiting_s = 0.0;
  double kernels_s = 0.0;
  double hidden_communication_s = 0.0;
  // [communication][kernel]: which kernels hid which communication; adds up to the above. What
  // communication exposes is its busy_s.
  std::array<std::array<double, k_categories>, k_categories> hidden_s{};
};
MeanDevice mean_device(const LoweredStep& step, const RunResult& result);

}  // namespace moesim
