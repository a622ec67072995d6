// The whole folder of published measurements: everything in it is judged or skipped by a stated
// rule.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "calibrate/tables/kernel_rows.h"
#include "kernel_data.h"
#include "sim/core/csv.h"

using namespace moesim;

namespace {

// Beginnings of the reasons there may be.
constexpr std::array<std::string_view, 9> rules{
    "not a kernel file: ",
    "published rates, no measured times: ",
    "mixed batch: prefill and decode in one attention call",
    "sampler: passes over the logits not known",
    "widths of the model not known: step-moe-noquant-small",
    "widths of the operator not known: ",
    "SGLang on A100 with several expert ranks",
    "balanced groups of the contiguous layout that do not fill blocks",
    "gated delta net: repeats another file's times"};

// Layouts with several times per line.
bool is_wide(const MeasuredFile& file) {
  return file.operation == "linear_op_kernel_only" || file.layout == "vidur" ||
         file.operation.starts_with("gdn");
}

}  // namespace

TEST_CASE("no measured kernel row is dropped without a stated rule",
          "[calibrate][validation][shared][slow]") {
  const std::string data = MOESIM_SHARED_DIR "/data/measured";
  if (!std::filesystem::exists(data)) {
    WARN("skipped: the measurements are not on this machine");
    return;
  }
  LoadGenerator loads(1);
  std::map<std::string, std::int64_t> rows_of_layout;
  int files = 0;
  for (const MeasuredFile& file : measured_files(data)) {
    const KernelRows table = read_kernel_rows(file, test::measured_device, loads);
    CAPTURE(file.path);
    auto total = static_cast<std::int64_t>(table.rows.size());
    rows_of_layout[file.layout] += total;
    for (const auto& [reason, n] : table.skipped) {
      CAPTURE(reason);
      CHECK(std::ranges::any_of(
          rules, [&text = reason](std::string_view rule) { return text.starts_with(rule); }));
      total += n;
    }
    const std::int64_t lines = count_csv_rows(file.path);
    CHECK((is_wide(file) ? total >= lines : total == lines));
    // The main layout's other files are of the network.
    const bool kernel = !table.rows.empty() || file.layout.empty() ||
                        file.subject == "step-moe-noquant-small" ||
                        table.skipped.begin()->first.starts_with("no") ||
                        table.skipped.begin()->first.starts_with("published") ||
                        table.skipped.begin()->first.starts_with("gated delta net");
    CHECK(kernel);
    files += table.rows.empty() ? 0 : 1;
  }
  CHECK(files > 70);
  for (const char* layout : {"main", "infersim", "llmservingsim", "frontier", "vidur"}) {
    CAPTURE(layout);
    CHECK(rows_of_layout[layout] > 1000);
  }
}
