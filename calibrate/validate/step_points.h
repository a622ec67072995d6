// Measured points of serving runs that are decode steps of one deployment: how their table is read,
// and by which rules a row is one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace moesim {

struct MeasuredStep {
  std::string model;               // as the table names it, "deepseek-ai/DeepSeek-R1"
  std::string system;              // catalog name of the device
  std::string framework;           // "trtllm", "sglang", "vllm"
  std::string version;             // of the framework
  std::string precision;           // "fp8", "fp4", "bf16"
  int ranks = 0;                   // attention DP and experts' EP: every rank has tokens of its own
  double requests_per_rank = 0.0;  // sent at a time, waiting and decoding
  double prefill_s = 0.0;          // until the first token: queue, prompt, transfer; 0: not stated
  std::int64_t answer = 0;         // output tokens
  std::int64_t context = 0;        // keys of a sequence in the middle of its answer
  double step_s = 0.0;
  std::uint32_t line = 0;

  // How many of a rank's requests decode at a time when a step takes `seconds`: of its life a
  // request decodes answer x seconds and waits prefill_s (Little's law). At least one.
  [[nodiscard]] std::int64_t decoding(double seconds) const;
};

struct StepPoints {
  std::string file;
  std::vector<MeasuredStep> steps;
  std::map<std::string, std::int64_t> skipped;  // reason -> rows
};

// Of disaggregated serving the decode workers run nothing but decode steps, so that the time per
// output token is a step. A row needs the number of these workers (else its batch is unknown),
// attention DP and as many expert-parallel ranks. requests_per_rank = concurrency / (workers x DP);
// context = input + half of the output. Columns are recognised by name. Throws
// ConfigError for a file without them or a cell that is no number where one is needed.
StepPoints read_step_points(const std::string& path);

}  // namespace moesim
