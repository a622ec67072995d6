#include "calibrate/fit/slow_paths.h"

#include <algorithm>
#include <limits>
#include <map>

namespace moesim {
namespace {

constexpr std::size_t k_least_cases = 100;
constexpr double k_tellable = 1.05;  // fits err by as much

// System, framework, version, family: all kernels of a profile's family.
using MeasuredFamily = std::tuple<std::string, std::string, std::string, std::string>;

// Times of the fastest kernel of every family by case, then what loses to which.
std::set<MeasuredFamily> beaten_families(const std::vector<KernelRows>& tables) {
  using Times = std::map<MeasuredFamily, double>;
  std::map<std::pair<std::string, std::string>, std::map<KernelDims, Times>> cases;
  for (const KernelRows& table : tables) {
    const MeasuredFile& file = table.file;
    for (const KernelRow& row : table.rows) {
      if (!has_layout(row.shape.key.kind)) {
        continue;  // frameworks' products hold different passes (quantisation), experts' do not
      }
      const std::string family = family_name(row.shape.key);
      double& seconds =
          cases[{file.system, family}][row.shape.dims]
              .try_emplace({file.system, file.framework, file.version, family}, row.seconds)
              .first->second;
      seconds = std::min(seconds, row.seconds);
    }
  }
  struct Duel {
    std::size_t cases = 0;
    std::size_t lost = 0;
  };
  std::map<std::pair<MeasuredFamily, MeasuredFamily>, Duel> duels;
  for (const auto& [family, by_shape] : cases) {
    for (const auto& [shape, times] : by_shape) {
      for (const auto& [one, seconds] : times) {
        for (const auto& [other, time] : times) {
          if (one != other) {
            Duel& duel = duels[{one, other}];
            ++duel.cases;
            duel.lost += k_tellable * time < seconds ? 1 : 0;
          }
        }
      }
    }
  }
  std::set<MeasuredFamily> beaten;
  for (const auto& [pair, duel] : duels) {
    if (duel.cases >= k_least_cases && 2 * duel.lost > duel.cases) {
      beaten.insert(pair.first);
    }
  }
  return beaten;
}

}  // namespace

std::set<MeasuredKernel> slow_paths(const std::vector<KernelRows>& tables) {
  constexpr double slower = 1.5;
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
    if (values.size() >= k_least_cases) {
      std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(tenth));
      if (values[tenth] > slower) {
        slow.insert(kernels[kernel]);
      }
    }
  }
  const std::set<MeasuredFamily> beaten = beaten_families(tables);
  for (const MeasuredKernel& kernel : kernels) {
    const auto& [system, framework, version, family, source] = kernel;
    if (beaten.contains({system, framework, version, family})) {
      slow.insert(kernel);
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
