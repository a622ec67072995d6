// Devices and their memory tiers.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/core/config.h"

namespace moesim {

struct MemoryTier {
  std::string name;  // "hbm3", "ddr5", "nvme"
  Bytes capacity;
  Bandwidth read;
  Bandwidth write;
  Seconds latency;
};

enum class DeviceKind { gpu, npu, cpu };

struct Device {
  std::string name;          // catalog name
  std::string architecture;  // die family, e.g. "gh100"; kernel profiles transfer within one
  DeviceKind kind = DeviceKind::gpu;
  std::map<DType, FlopRate> peak;  // dense
  MemoryTier memory;
  int multiprocessors = 0;  // SMs, cube cores, CPU cores
  Bytes l2;
  Power tdp;
  Power idle;
  PriceRate price;  // rent of one device
};

// Throws ConfigError.
Device parse_device(ConfigObject object);

}  // namespace moesim
