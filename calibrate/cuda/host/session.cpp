#include "calibrate/cuda/host/session.h"

#include <array>
#include <cstdio>
#include <filesystem>

namespace moesim::bench {
namespace {

// What a driver, the libraries' own buffers and fragmentation may take.
constexpr double usable_share = 0.9;

std::string milliseconds(double value) {
  std::array<char, 32> buffer{};
  const int size = std::snprintf(buffer.data(), buffer.size(), "%.6g", value);
  return {buffer.data(), static_cast<std::size_t>(size)};
}

}  // namespace

Session::Session(SessionOptions options, DeviceFacts device)
    : options_(std::move(options)), device_(std::move(device)) {}

std::string Session::path_of(const Table& table) const {
  // Collectives belong to the library: the fitted profiles are named after its version.
  const std::string name = table.name == "nccl" ? "nccl-" + options_.nccl_version
                                                : table.name + "__moesim-" + options_.version;
  return options_.out + "/" + options_.system + "/" + name + ".csv";
}

std::string Session::comment() const {
  return "source: moesim-cuda-bench " + options_.version + "; device: " + device_.name +
         "; driver: " + device_.driver + "; runtime: " + device_.runtime +
         "; clocks: " + std::to_string(device_.sm_clock_mhz) + "/" +
         std::to_string(device_.memory_clock_mhz) + " MHz; " + options_.date;
}

ResultFile& Session::file_of(const Table& table) {
  auto& file = files_[table.name];
  if (!file) {
    const std::string path = path_of(table);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    file = std::make_unique<ResultFile>(path, comment(), result_columns(table),
                                        table.key_columns.size(), device_.name);
  }
  return *file;
}

bool Session::wants(const PlannedCase& planned) {
  if (file_of(*planned.table).has(planned.key)) {
    ++summary_.kept;
    return false;
  }
  if (planned.devices > device_.devices) {
    ++summary_.left_out["needs more devices than there are"];
    return false;
  }
  if (planned.device_memory > usable_share * device_.free_memory) {
    ++summary_.left_out["does not fit into the device's memory"];
    return false;
  }
  return true;
}

void Session::run(const PlannedCase& planned, const std::function<Measurement()>& measure) {
  Measurement measured;
  try {
    measured = measure();
  } catch (const Unsupported& reason) {
    ++summary_.left_out[reason.what()];
    return;
  }
  const Statistics times = summarise(std::move(measured.samples_ms));
  std::vector<std::string> row = planned.key;
  for (std::string field : {milliseconds(times.median_ms), device_.name, device_.driver,
                            std::to_string(measured.sm_clock_mhz), milliseconds(times.p10_ms),
                            milliseconds(times.p90_ms), std::to_string(times.repeats)}) {
    row.push_back(std::move(field));
  }
  file_of(*planned.table).add(row);
  ++summary_.measured;
}

}  // namespace moesim::bench
