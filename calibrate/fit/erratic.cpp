#include "calibrate/fit/erratic.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

using Case = std::tuple<std::uint16_t, std::uint16_t, std::uint64_t, double>;
Case case_of(const KernelRow& row) {
  return {row.source, row.group, row.shape_group, row.shape.dims[dim::inter]};
}

}  // namespace

std::vector<bool> erratic_rows(std::span<const KernelRow* const> rows,
                               std::span<const double> predicted_s) {
  ensure(rows.size() == predicted_s.size(), "one prediction per row");
  std::vector<bool> erratic(rows.size(), false);
  std::map<Case, std::map<double, std::vector<std::size_t>>> cases;  // -> tokens -> rows
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const KernelKind kind = rows[i]->shape.key.kind;
    if (kind == KernelKind::moe || kind == KernelKind::moe_ungated) {
      cases[case_of(*rows[i])][rows[i]->shape.dims[dim::tokens]].push_back(i);
    }
  }
  const auto slowness = [&](std::size_t i) { return std::log(rows[i]->seconds / predicted_s[i]); };
  for (const auto& [id, by_tokens] : cases) {
    for (auto here = by_tokens.begin(); here != by_tokens.end(); ++here) {
      std::vector<double> neighbourhood;
      const auto add = [&](const std::vector<std::size_t>& list) {
        for (const std::size_t i : list) {
          neighbourhood.push_back(slowness(i));
        }
      };
      if (here != by_tokens.begin()) {
        add(std::prev(here)->second);
      }
      add(here->second);
      if (std::next(here) != by_tokens.end()) {
        add(std::next(here)->second);
      }
      const double usual = upper_median(neighbourhood);
      for (const std::size_t i : here->second) {
        erratic[i] = slowness(i) > usual + std::log(k_erratic_factor);
      }
    }
  }
  return erratic;
}

}  // namespace moesim
