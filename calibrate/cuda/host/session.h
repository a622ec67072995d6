// One run of the benchmarks: which cases are measured, where their rows go, what was left out.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "calibrate/cuda/host/bench_case.h"
#include "calibrate/cuda/host/result_file.h"
#include "calibrate/cuda/host/statistics.h"

namespace moesim::bench {

// Thrown by a measurement whose case this device, or a library on it, does not offer. The case is
// left out and counted; everything else that is thrown ends the run.
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct DeviceFacts {
  std::string name;     // as the device says, "NVIDIA H100 80GB HBM3"
  std::string driver;   // "580.65.06"
  std::string runtime;  // "13.0"
  int sm_clock_mhz = 0;
  int memory_clock_mhz = 0;
  Bytes free_memory;
  int devices = 1;
};

struct SessionOptions {
  std::string out;
  std::string system;        // folder below `out`
  std::string version;       // of this program
  std::string nccl_version;  // names the file of the table "nccl"
  std::string date;          // "2026-11-22"
};

struct Measurement {
  std::vector<double> samples_ms;
  int sm_clock_mhz = 0;  // while it ran; 0: not known
};

struct RunSummary {
  std::int64_t measured = 0;
  std::int64_t kept = 0;                         // stood in the files already
  std::map<std::string, std::int64_t> left_out;  // reason -> cases
};

class Session {
 public:
  Session(SessionOptions options, DeviceFacts device);

  // Whether a measurement would be made: not there yet, enough devices, fits into the memory.
  // Counts the case as kept or left out otherwise.
  bool wants(const PlannedCase& planned);
  // Measures a wanted case and writes its row. A case that throws Unsupported is left out.
  void run(const PlannedCase& planned, const std::function<Measurement()>& measure);

  [[nodiscard]] const RunSummary& summary() const { return summary_; }
  [[nodiscard]] std::string path_of(const Table& table) const;
  // "source: moesim-cuda-bench 0.1.0; device: ...", the comment line of every file.
  [[nodiscard]] std::string comment() const;

 private:
  ResultFile& file_of(const Table& table);

  SessionOptions options_;
  DeviceFacts device_;
  RunSummary summary_;
  std::map<std::string, std::unique_ptr<ResultFile>> files_;  // by table name
};

}  // namespace moesim::bench
