#include "calibrate/fit/row_statistics.h"

#include <algorithm>
#include <set>

#include "sim/core/quantile.h"

namespace moesim {
namespace {

constexpr double k_within = 1.3;
constexpr double k_share = 0.5;
constexpr double k_decades = 100;
constexpr double k_least_seconds = 20e-6;
constexpr double k_above_roofline = 8;

}  // namespace

std::vector<FitRange> ranges_of(RowList rows) {
  const DimNames dims = dim_names(rows.front()->shape.key.kind);
  std::vector<FitRange> ranges;
  for (std::size_t i = 0; i < dims.ranged; ++i) {
    FitRange range{rows.front()->shape.dims[i], rows.front()->shape.dims[i]};
    for (const KernelRow* row : rows) {
      range.min = std::min(range.min, row->shape.dims[i]);
      range.max = std::max(range.max, row->shape.dims[i]);
    }
    ranges.push_back({rounded(range.min), rounded(range.max)});
  }
  return ranges;
}

std::vector<double> grid_of(RowList rows) {
  constexpr std::size_t most = 64;
  const KernelKind kind = without_window(rows.front()->shape.key.kind);
  if (kind != KernelKind::attention_decode && kind != KernelKind::mla_decode &&
      kind != KernelKind::mla_module_decode) {
    return {};
  }
  std::set<double> batches;
  for (const KernelRow* row : rows) {
    batches.insert(row->shape.dims[dim::sequences]);
  }
  return batches.size() <= most ? std::vector<double>(batches.begin(), batches.end())
                                : std::vector<double>();
}

double host_floor(RowList rows) {
  std::vector<double> seconds;
  for (const KernelRow* row : rows) {
    seconds.push_back(row->seconds);
  }
  if (seconds.empty()) {
    return 0.0;
  }
  const double least = quantile(seconds, 0.01);
  std::vector<double> flat;
  std::vector<double> roofline;
  for (const KernelRow* row : rows) {
    if (row->seconds <= k_within * least) {
      flat.push_back(row->seconds);
      roofline.push_back(row->naive_seconds);
    }
  }
  const double share = static_cast<double>(flat.size()) / static_cast<double>(rows.size());
  if (least < k_least_seconds || share < k_share ||
      quantile(roofline, 0.95) < k_decades * quantile(roofline, 0.05) ||
      least < k_above_roofline * quantile(roofline, 0.5)) {
    return 0.0;
  }
  return rounded(quantile(flat, 0.5));
}

}  // namespace moesim
