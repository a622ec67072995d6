#include "calibrate/validate/step_points.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "sim/core/csv.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr double k_most = 1e9;      // of any count
constexpr double k_repeat = 0.002;  // two rows of one measurement differ by less

// Cells of one table, by column name.
class Reader {
 public:
  explicit Reader(const CsvTable& table) : table_(table) {
    for (const char* name : {"backend", "backend_version", "model_path", "system", "precision",
                             "mode", "isl", "osl", "concurrency", "decode_num_workers",
                             "decode_tp_size", "decode_pp_size", "decode_attention_dp_size",
                             "decode_moe_tp_size", "decode_moe_ep_size", "silicon_tpot_ms"}) {
      columns_[name] = table.column(name);
    }
    for (const char* name : {"speculative", "silicon_ttft_ms"}) {
      if (table.has(name)) {
        columns_[name] = table.column(name);
      }
    }
  }

  [[nodiscard]] bool has(const std::string& name) const { return columns_.contains(name); }
  [[nodiscard]] std::string text(std::size_t row, const std::string& name) const {
    return std::string(table_.text(row, columns_.at(name)));
  }
  // Counts are written as "8" or "8.0"; an empty cell does not apply to the row.
  [[nodiscard]] std::optional<std::int64_t> count(std::size_t row, const std::string& name) const {
    const std::size_t column = columns_.at(name);
    if (table_.text(row, column).empty()) {
      return std::nullopt;
    }
    const double value = table_.number(row, column, 1.0, k_most);
    if (value != std::trunc(value)) {
      table_.fail(row, column, "is not a whole number");
    }
    return static_cast<std::int64_t>(value);
  }
  [[nodiscard]] std::int64_t needed(std::size_t row, const std::string& name) const {
    const auto value = count(row, name);
    if (!value) {
      table_.fail(row, columns_.at(name), "is empty; this row needs a count");
    }
    return *value;
  }
  [[nodiscard]] double seconds(std::size_t row, const std::string& name) const {
    return table_.positive(row, columns_.at(name)) * 1e-3;
  }

 private:
  const CsvTable& table_;
  std::map<std::string, std::size_t> columns_;
};

// Why a row is no step of the kind that is simulated; empty if it is one.
std::string why_not(const Reader& table, std::size_t row) {
  const std::string mode = table.text(row, "mode");
  if (mode != "disagg") {
    return "mode " + mode + ": prompts run between decode steps, so that TPOT is no step";
  }
  if (table.has("speculative")) {
    const std::string how = table.text(row, "speculative");
    if (!how.empty() && how != "none" && how != "0") {
      return "speculative decoding: a step puts out more than a token";
    }
  }
  if (!table.count(row, "decode_num_workers") || !table.count(row, "concurrency")) {
    return "decode workers or concurrency not stated: the batch is not known";
  }
  if (table.needed(row, "decode_pp_size") > 1) {
    return "pipeline-parallel: a token's time is several stages'";
  }
  const std::int64_t dp = table.needed(row, "decode_attention_dp_size");
  if (dp < 2 || table.needed(row, "decode_tp_size") > 1) {
    return "attention is not data-parallel alone";
  }
  if (table.needed(row, "decode_moe_tp_size") > 1) {
    return "experts sliced over ranks that do not share their tokens, which steps do not simulate";
  }
  if (table.needed(row, "decode_moe_ep_size") != dp) {
    return "not as many expert-parallel as data-parallel ranks";
  }
  return {};
}

MeasuredStep read_step(const Reader& table, std::size_t row) {
  MeasuredStep step;
  step.model = table.text(row, "model_path");
  step.system = table.text(row, "system");
  step.framework = table.text(row, "backend");
  step.version = table.text(row, "backend_version");
  step.precision = table.text(row, "precision");
  step.ranks = static_cast<int>(table.needed(row, "decode_attention_dp_size"));
  step.requests_per_rank =
      static_cast<double>(table.needed(row, "concurrency")) /
      static_cast<double>(table.needed(row, "decode_num_workers") * step.ranks);
  if (table.has("silicon_ttft_ms") && !table.text(row, "silicon_ttft_ms").empty()) {
    step.prefill_s = table.seconds(row, "silicon_ttft_ms");
  }
  step.answer = table.needed(row, "osl");
  step.context = table.needed(row, "isl") + step.answer / 2;
  step.step_s = table.seconds(row, "silicon_tpot_ms");
  return step;
}

bool repeats(const MeasuredStep& a, const MeasuredStep& b) {
  return a.model == b.model && a.system == b.system && a.framework == b.framework &&
         a.precision == b.precision && a.ranks == b.ranks &&
         a.requests_per_rank == b.requests_per_rank && a.context == b.context &&
         std::abs(a.step_s / b.step_s - 1) < k_repeat;
}

}  // namespace

std::int64_t MeasuredStep::decoding(double seconds) const {
  const double decodes_s = static_cast<double>(answer) * seconds;
  const double share = prefill_s > 0 ? 1.0 / (1.0 + prefill_s / decodes_s) : 1.0;
  return std::max<std::int64_t>(1, std::llround(requests_per_rank * share));
}

StepPoints read_step_points(const std::string& path) {
  const CsvTable csv = CsvTable::read(path);
  csv.check_has_rows();
  const Reader table(csv);
  StepPoints points{.file = path, .steps = {}, .skipped = {}};
  for (std::size_t row = 0; row < csv.rows(); ++row) {
    const std::string reason = why_not(table, row);
    if (!reason.empty()) {
      ++points.skipped[reason];
      continue;
    }
    MeasuredStep step = read_step(table, row);
    step.line = csv.line(row);
    if (std::ranges::any_of(points.steps,
                            [&](const MeasuredStep& other) { return repeats(step, other); })) {
      ++points.skipped["repeats another row's time"];
      continue;
    }
    points.steps.push_back(std::move(step));
  }
  return points;
}

}  // namespace moesim
