#include "calibrate/tables/row_check.h"

#include "sim/core/error.h"
#include "sim/core/quantile.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

constexpr double k_overhead_s = 10e-6;
constexpr double k_row_is_off = 1000.0;
constexpr double k_fast_table = 30.0;
constexpr double k_slow_table = 100.0;
constexpr std::size_t k_fewest_rows = 3;

bool is_within(double ratio, double fast, double slow) {
  return ratio >= 1.0 / fast && ratio <= slow;
}

}  // namespace

void TimeCheck::fail(std::size_t row, double ratio, const std::string& what) const {
  const bool slow = ratio > 1.0;
  throw ConfigError(table_.path() + ":" + std::to_string(table_.line(row)),
                    what + " " + format_number(slow ? ratio : 1.0 / ratio) + " times " +
                        (slow ? "longer" : "shorter") +
                        " than the data sheet's rates and 10 us per call give; are the times in "
                        "the unit that their column names?");
}

void TimeCheck::add(std::size_t row, double seconds, double ideal_s) {
  const double ratio = seconds / (ideal_s + k_overhead_s);
  if (!is_within(ratio, k_row_is_off, k_row_is_off)) {
    fail(row, ratio, "this row takes");
  }
  ratio_.push_back(ratio);
  row_.push_back(row);
}

void TimeCheck::finish() const {
  if (ratio_.size() < k_fewest_rows) {
    return;
  }
  const double typical = median(ratio_);
  if (is_within(typical, k_fast_table, k_slow_table)) {
    return;
  }
  for (std::size_t i = 0; i < ratio_.size(); ++i) {
    if (!is_within(ratio_[i], k_fast_table, k_slow_table)) {
      fail(row_[i], typical, "from this row on, the typical row takes");
    }
  }
}

}  // namespace moesim
