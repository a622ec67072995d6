#include "calibrate/fit/slow_paths.h"

#include <algorithm>
#include <limits>
#include <map>

namespace moesim {

std::set<MeasuredKernel> slow_paths(const std::vector<KernelRows>& tables) {
  constexpr double slower = 1.5;
  constexpr std::size_t least_cases = 100;
  std::vector<MeasuredKernel> kernels;
  std::map<MeasuredKernel, std::size_t> index_of;
  using Times = std::map<std::size_t, double>;  // s, the fastest, by kernel
  std::map<std::pair<std::string, std::string>, std::map<KernelDims, Times>> cases;
  for (const KernelRows& table : tables) {
    const MeasuredFile& file = table.file;
    for (const KernelRow& row : table.rows) {
      const std::string family = family_name(row.shape.key);
      const auto [kernel, is_new] = index_of.try_emplace(
          {file.system, file.framework, file.version, family, table.sources[row.source]},
          kernels.size());
      if (is_new) {
        kernels.push_back(kernel->first);
      }
      double& seconds = cases[{file.system, family}][row.shape.dims]
                            .try_emplace(kernel->second, row.seconds)
                            .first->second;
      seconds = std::min(seconds, row.seconds);
    }
  }
  std::vector<std::vector<double>> ratios(kernels.size());
  const auto compare = [&ratios](const Times& times) {
    for (const auto& [kernel, seconds] : times) {
      double other = std::numeric_limits<double>::max();
      for (const auto& [name, time] : times) {
        other = name == kernel ? other : std::min(other, time);
      }
      if (times.size() > 1) {
        ratios[kernel].push_back(seconds / other);
      }
    }
  };
  for (const auto& [family, by_shape] : cases) {
    for (const auto& [shape, times] : by_shape) {
      compare(times);
    }
  }
  std::set<MeasuredKernel> slow;
  for (std::size_t kernel = 0; kernel < kernels.size(); ++kernel) {
    std::vector<double>& values = ratios[kernel];
    const std::size_t tenth = values.size() / 10;
    if (values.size() >= least_cases) {
      std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(tenth));
      if (values[tenth] > slower) {
        slow.insert(kernels[kernel]);
      }
    }
  }
  return slow;
}

std::map<MeasuredKernel, std::int64_t> won_cases(const std::vector<KernelRows>& tables) {
  std::map<MeasuredKernel, std::int64_t> won;
  for (const KernelRows& table : tables) {
    const MeasuredFile& file = table.file;
    using Times = std::map<std::size_t, double>;  // s, the fastest, by source
    std::map<std::pair<std::string, KernelDims>, Times> cases;
    for (const KernelRow& row : table.rows) {
      if (row.shape.key.kind == KernelKind::memory) {
        continue;  // copies, norms and activations do different work on equal bytes
      }
      double& seconds = cases[{family_name(row.shape.key), row.shape.dims}]
                            .try_emplace(row.source, row.seconds)
                            .first->second;
      seconds = std::min(seconds, row.seconds);
    }
    for (const auto& [shape, times] : cases) {
      if (times.size() < 2) {
        continue;
      }
      const auto fastest = std::ranges::min_element(times, {}, &Times::value_type::second);
      for (const auto& [source, seconds] : times) {
        won[{file.system, file.framework, file.version, shape.first, table.sources[source]}] +=
            source == fastest->first ? 1 : -1;
      }
    }
  }
  return won;
}

}  // namespace moesim
