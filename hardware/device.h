// Devices and their memory tiers.
#pragma once

#include <map>
#include <string>
#include <string_view>
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
std::string_view name_of(DeviceKind kind);

struct Device {
  std::string name;          // catalog name
  std::string architecture;  // die family, e.g. "gh100"; kernel profiles transfer within one
  DeviceKind kind = DeviceKind::gpu;
  std::map<DType, FlopRate> peak;  // dense, by peak_class(dtype)
  MemoryTier memory;
  int multiprocessors = 0;  // SMs, cube cores, CPU cores
  Bytes l2;
  Power tdp;
  Power idle;
  PriceRate price;  // rent of one device
};

// The document must give a source for each of its numbers (README.md). Throws ConfigError.
Device parse_device(ConfigObject object);

// A tier with its own sources, such as an SSD. Throws ConfigError.
MemoryTier parse_storage(ConfigObject object);

// The folders for one kind of document ("devices", "links", "storage", "clusters") below the
// catalogs' roots, for catalog_names() and find_in_catalog().
std::vector<std::string> hardware_folders(const std::vector<std::string>& catalog_dirs,
                                          std::string_view kind);

// `value`: a catalog name, a file's path, or an inline object. `effective`, if given, receives the
// document with all numbers in SI. Throws ConfigError(where, ...).
Device load_device(const nlohmann::json& value, const std::string& where,
                   const std::vector<std::string>& catalog_dirs,
                   nlohmann::json* effective = nullptr);

}  // namespace moesim
