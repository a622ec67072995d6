#include "hardware/device.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "hardware/sources.h"
#include "sim/core/catalog.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 3> kind_names{"gpu", "npu", "cpu"};

MemoryTier parse_tier(ConfigObject& object) {
  MemoryTier tier;
  tier.name = object.text("name");
  tier.capacity = object.positive<Bytes>("capacity");
  tier.read = object.positive<Bandwidth>("read");
  tier.write = object.positive<Bandwidth>("write");
  tier.latency = object.non_negative<Seconds>("latency");
  return tier;
}

std::map<DType, FlopRate> parse_peak(ConfigObject peak) {
  std::map<DType, FlopRate> rates;
  for (const std::string& key : peak.keys()) {
    const DType dtype = parse_dtype(key, peak.where(key));
    if (peak_class(dtype) != dtype) {
      peak.fail(key, "has no peak of its own; it runs at that of " +
                         std::string(name_of(peak_class(dtype))) + ", give that one");
    }
    rates[dtype] = peak.positive<FlopRate>(key);
  }
  return rates;
}

}  // namespace

std::string_view name_of(DeviceKind kind) { return kind_names.at(static_cast<std::size_t>(kind)); }

Device parse_device(ConfigObject object) {
  Device device;
  device.name = object.text("name");
  device.architecture = object.text("architecture");
  const std::string kind = object.choice("kind", kind_names);
  device.kind = static_cast<DeviceKind>(std::ranges::find(kind_names, kind) - kind_names.begin());
  device.peak = parse_peak(object.object("peak"));
  if (device.peak.empty()) {
    object.fail("peak", R"(is empty; give at least one rate, such as {"bf16": "989 TFLOP/s"})");
  }
  ConfigObject memory = object.object("memory");
  device.memory = parse_tier(memory);
  memory.reject_unknown_keys();
  device.multiprocessors = static_cast<int>(object.integer("multiprocessors", 1, 1'000'000));
  device.l2 = object.positive<Bytes>("l2");
  if (device.l2 >= device.memory.capacity) {
    object.fail("l2", "is not smaller than the device's memory");
  }
  device.tdp = object.positive<Power>("tdp");
  device.idle = object.non_negative<Power>("idle");
  if (device.idle > device.tdp) {
    object.fail("idle", "is more than tdp; idle power is at most the thermal design power");
  }
  device.price = object.non_negative<PriceRate>("price");
  read_sources(object);
  return device;
}

MemoryTier parse_storage(ConfigObject object) {
  MemoryTier tier = parse_tier(object);
  read_sources(object);
  return tier;
}

std::vector<std::string> hardware_folders(const std::vector<std::string>& catalog_dirs,
                                          std::string_view kind) {
  std::vector<std::string> folders;
  for (const std::string& root : catalog_dirs) {
    folders.push_back(root + "/" + std::string(kind));
  }
  return folders;
}

Device load_device(const nlohmann::json& value, const std::string& where,
                   const std::vector<std::string>& catalog_dirs, nlohmann::json* effective) {
  std::string document_where;
  const nlohmann::json document =
      resolve_reference(value, where, hardware_folders(catalog_dirs, "devices"), document_where);
  return parse_device(ConfigObject(document, document_where, effective));
}

}  // namespace moesim
