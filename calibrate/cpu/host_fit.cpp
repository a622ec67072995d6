// Host profiles from microbenchmarks. Every time is a sum of non-negative coefficients times known
// features, ladders included (their rises are the coefficients, so they cannot fall); fitted in two
// steps: non-negative least squares of relative errors, then the robust logarithmic fit of
// least_squares.h from there.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "calibrate/cpu/host_kernels.h"
#include "calibrate/cpu/host_profile.h"
#include "calibrate/cpu/interrupt.h"
#include "calibrate/cpu/non_negative.h"
#include "calibrate/fit/fit_errors.h"
#include "calibrate/fit/least_squares.h"
#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

constexpr int k_robust_iterations = 40;
constexpr double k_slack = 10.0;
// Below this share of the largest time per feature a coefficient is as good as zero.
constexpr double k_floor = 1e-6;
// Of neighbours on a logarithmic ladder: closer steps could not be told apart.
constexpr double k_least_ratio = 1.3;
constexpr double k_rows_apart = 8;
constexpr double k_far_bytes = 64e6;            // what is that large comes from memory
constexpr double k_least_ratio_of_moves = 1.9;  // their working sets vary with their rows, too

using Features = std::vector<double>;

std::vector<double> fit_features(const std::vector<Features>& features,
                                 const std::vector<double>& seconds,
                                 const std::atomic<bool>* cancel) {
  const std::vector<double> start = fit_non_negative(features, seconds);
  std::vector<FitParameter> parameters;
  for (std::size_t j = 0; j < start.size(); ++j) {
    // One feature cannot take much longer than the whole, in any row. (Not in the rows that hardly
    // have it: they would allow anything.)
    double bound = std::numeric_limits<double>::max();
    for (std::size_t i = 0; i < seconds.size(); ++i) {
      if (features[i][j] > 0.0) {
        bound = std::min(bound, k_slack * seconds[i] / features[i][j]);
      }
    }
    bound = bound == std::numeric_limits<double>::max() ? 1.0 : bound;
    const double low = k_floor * bound;
    parameters.push_back({std::clamp(start[j], low, bound), low, bound, start[j] < low});
  }
  const LeastSquares fit = fit_coefficients(
      parameters, seconds,
      [&](std::span<const double> c, std::span<double> out) {
        check_interrupt(cancel);
        for (std::size_t i = 0; i < out.size(); ++i) {
          out[i] = 0.0;
          for (std::size_t j = 0; j < c.size(); ++j) {
            out[i] += c[j] * features[i][j];
          }
        }
      },
      k_robust_iterations);
  std::vector<double> result = fit.coefficients;
  for (std::size_t j = 0; j < result.size(); ++j) {
    result[j] = parameters[j].fixed ? 0.0 : result[j];
  }
  return result;
}

Ladder ladder_over(const std::vector<HostKernelRow>& rows, double KernelCall::* axis,
                   bool logarithmic, bool goes_on, double least_ratio = k_least_ratio) {
  std::set<double> points;
  for (const HostKernelRow& row : rows) {
    if (row.call.*axis > 0.0) {
      points.insert(row.call.*axis);
    }
  }
  Ladder ladder{{}, {}, logarithmic, goes_on};
  for (const double point : points) {
    // Products of a few rows each have their own code in BLAS.
    const bool own = !logarithmic && point <= k_rows_apart;
    if (ladder.at.empty() || own || point > least_ratio * ladder.at.back()) {
      ladder.at.push_back(point);
    }
  }
  ladder.value.assign(ladder.at.size(), 0.0);
  return ladder;
}

std::vector<HostKernelRow> of_threads(const std::vector<HostKernelRow>& rows, int threads) {
  std::vector<HostKernelRow> found;
  std::ranges::copy_if(rows, std::back_inserter(found),
                       [&](const HostKernelRow& row) { return row.threads == threads; });
  return found;
}

// Fills the ladder's values from its rises; returns the first coefficient behind them.
std::size_t take_rises(Ladder& ladder, const std::vector<double>& x, std::size_t next,
                       std::size_t first_rise) {
  double value = 0.0;
  for (std::size_t j = first_rise; j < ladder.at.size(); ++j) {
    ladder.value[j] = value += x[next++];
  }
  return next;
}

void fit_alone(const std::vector<HostKernelRow>& rows, FarTerms far,
               const std::atomic<bool>* cancel, KernelTimes& times) {
  const bool products =
      std::ranges::any_of(rows, [](const HostKernelRow& r) { return r.call.weights > 0; });
  times.per_weight_s = {{}, {}, false, true};
  if (products) {
    times.per_weight_s = ladder_over(rows, &KernelCall::rows, false, true);
  }
  Ladder& by_rows = times.per_weight_s;
  const Ladder by_set = ladder_over(rows, &KernelCall::working_set_bytes, true, false,
                                    products ? k_least_ratio : k_least_ratio_of_moves);
  times.alone_s_per_byte = by_set;
  times.far_fixed_s = {{}, {}, true, false};
  times.far_per_row_s = times.far_fixed_s;
  if (far == FarTerms::rows_and_bytes) {
    times.far_fixed_s = by_set;
    times.far_per_row_s = by_set;
  }
  std::vector<Features> features;
  std::vector<double> seconds;
  for (const HostKernelRow& row : rows) {
    const KernelCall& call = row.call;
    Features f{1.0, call.rows, call.rows * call.width};
    for (std::size_t j = 0; j < by_rows.at.size(); ++j) {
      f.push_back(call.weights * by_rows.share(j, call.rows));
    }
    for (std::size_t j = 1; j < by_set.at.size(); ++j) {
      f.push_back(call.bytes * by_set.share(j, call.working_set_bytes));
    }
    for (std::size_t j = 1; j < times.far_fixed_s.at.size(); ++j) {
      f.push_back(by_set.share(j, call.working_set_bytes));
    }
    for (std::size_t j = 1; j < times.far_per_row_s.at.size(); ++j) {
      f.push_back(call.rows * by_set.share(j, call.working_set_bytes));
    }
    for (std::size_t j = 1; j < k_row_tile; ++j) {
      f.push_back(row_remainder(call.rows) == j ? call.weights : 0.0);
    }
    features.push_back(std::move(f));
    seconds.push_back(row.seconds);
  }
  const std::vector<double> x = fit_features(features, seconds, cancel);
  times.fixed_s = x[0];
  times.per_row_s = x[1];
  times.per_element_s = x[2];
  std::size_t next = take_rises(by_rows, x, 3, 0);
  next = take_rises(times.alone_s_per_byte, x, next, 1);
  next = take_rises(times.far_fixed_s, x, next, 1);
  next = take_rises(times.far_per_row_s, x, next, 1);
  std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(next), k_row_tile - 1,
              times.remainder_s.begin() + 1);
}

// Core times grow by one factor, memory times by working set.
void fit_both(const std::vector<HostKernelRow>& rows, const std::atomic<bool>* cancel,
              KernelTimes& times) {
  times.both_s_per_byte = ladder_over(rows, &KernelCall::working_set_bytes, true, false);
  Ladder& by_set = times.both_s_per_byte;
  std::vector<Features> features;
  std::vector<double> seconds;
  for (const HostKernelRow& row : rows) {
    Features f{times.core_s(row.call)};
    for (std::size_t j = 1; j < by_set.at.size(); ++j) {
      f.push_back(row.call.bytes * by_set.share(j, row.call.working_set_bytes));
    }
    features.push_back(std::move(f));
    seconds.push_back(row.seconds);
  }
  const std::vector<double> x = fit_features(features, seconds, cancel);
  times.contention = std::clamp(x[0], 1.0, 2.0);
  take_rises(by_set, x, 1, 1);
}

std::vector<HostKernelRow> kernel_rows(const std::vector<MicroRow>& rows, const std::string& kernel,
                                       const std::function<KernelCall(const MicroKey&)>& call) {
  std::vector<HostKernelRow> found;
  for (const MicroRow& row : rows) {
    if (row.key.kernel == kernel) {
      found.push_back({call(row.key), row.key.threads, row.fitted_s()});
    }
  }
  return found;
}

KernelTimes fit_named(const std::vector<MicroRow>& rows, const std::string& kernel,
                      const std::function<KernelCall(const MicroKey&)>& call, FarTerms far,
                      const std::string& where, const std::atomic<bool>* cancel) {
  std::vector<HostKernelRow> found = kernel_rows(rows, kernel, call);
  // Fewer leave the law's ends open.
  constexpr std::size_t least_rows = 4;
  const auto alone = static_cast<std::size_t>(
      std::ranges::count_if(found, [](const HostKernelRow& row) { return row.threads == 1; }));
  const std::size_t counted = alone > 0 ? alone : found.size();
  if (counted < least_rows) {
    throw ConfigError(where, (counted == 0 ? "no" : std::to_string(counted)) +
                                 " rows of the kernel " + kernel + ", but a fit needs " +
                                 std::to_string(least_rows) +
                                 "; run: moesim calibrate run cpu --out DIR");
  }
  return fit_kernel(found, far, cancel);
}

}  // namespace

// Two threads that share a cache miss like one with all their data; two with caches of their own
// like one with half of it.
bool has_private_caches(const KernelTimes& times) {
  double as_shared = 0.0;
  double as_private = 0.0;
  for (std::size_t j = 0; j < times.both_s_per_byte.at.size(); ++j) {
    const double set = times.both_s_per_byte.at[j];
    const double both = times.both_s_per_byte.value[j];
    as_shared += std::abs(both - times.alone_s_per_byte(set));
    as_private += std::abs(both - times.alone_s_per_byte(set / 2.0));
  }
  return as_private < as_shared;
}

KernelTimes fit_kernel(const std::vector<HostKernelRow>& rows, FarTerms far,
                       const std::atomic<bool>* cancel) {
  std::vector<HostKernelRow> alone = of_threads(rows, 1);
  const std::vector<HostKernelRow> both = of_threads(rows, 2);
  const bool only_both = alone.empty();  // measured between two cores: nothing happens alone
  if (only_both) {
    alone = both;
  }
  KernelTimes times;
  fit_alone(alone, far, cancel, times);
  times.both_s_per_byte = times.alone_s_per_byte;
  if (!both.empty() && !only_both) {
    fit_both(both, cancel, times);
  }
  std::vector<double> errors;
  for (const HostKernelRow& row : alone) {
    errors.push_back(std::abs(times.alone_s(row.call) / row.seconds - 1.0));
    times.largest_rows = std::max(times.largest_rows, row.call.rows);
  }
  times.rows_fitted = static_cast<std::int64_t>(rows.size());
  times.median_error = median(errors);
  return times;
}

HostProfile fit_host_profile(const std::vector<MicroRow>& rows, const std::string& source,
                             const std::string& where, const std::atomic<bool>* cancel) {
  HostProfile profile;
  profile.source = source;
  profile.date = source.size() >= 10 ? source.substr(source.size() - 10) : "";
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const auto expert = [&](const MicroKey& k) {
    const ExpertShape shape{k.k, k.n};
    // What SwiGLU itself takes per row cannot be told from the products' share of it.
    return KernelCall{number(k.rows), number(shape.weights()), 0.0, number(shape.weight_bytes()),
                      number(k.working_set_bytes)};
  };
  const auto gate = [&](const MicroKey& k) {
    return KernelCall{number(k.rows), number(k.n * k.k), static_cast<double>(k.depth),
                      number(4 * k.n * k.k), number(k.working_set_bytes)};
  };
  const auto moved = [&](const MicroKey& k) {
    return KernelCall{number(k.rows), 0.0, number(k.k), number(4 * k.rows * k.k),
                      number(std::max<std::int64_t>(k.working_set_bytes, 1) + 8 * k.rows * k.k)};
  };
  const auto read = [&](const MicroKey& k) {
    return KernelCall{1.0, number(k.n), 0.0, number(k.n), number(k.working_set_bytes)};
  };
  // Summing up also reads and writes the tokens.
  const auto summed = [&](const MicroKey& k) {
    KernelCall call = moved(k);
    const double tokens = number(k.rows) / k.depth;
    call.rows += tokens;
    call.bytes += 8.0 * tokens * number(k.k);
    return call;
  };
  constexpr FarTerms all_far = FarTerms::rows_and_bytes;
  profile.expert = fit_named(rows, "expert", expert, FarTerms::bytes, where, cancel);
  profile.private_caches = has_private_caches(profile.expert);
  profile.gate = fit_named(rows, "gate", gate, all_far, where, cancel);
  profile.dispatch_local = fit_named(rows, "dispatch_local", moved, all_far, where, cancel);
  profile.combine_local = fit_named(rows, "combine_local", summed, all_far, where, cancel);
  const bool two = std::ranges::any_of(rows, [](const MicroRow& r) { return r.key.threads == 2; });
  profile.dispatch_remote = two ? fit_named(rows, "dispatch_remote", moved, all_far, where, cancel)
                                : profile.dispatch_local;
  profile.combine_remote = two ? fit_named(rows, "combine_remote", summed, all_far, where, cancel)
                               : profile.combine_local;
  if (std::ranges::any_of(rows, [](const MicroRow& r) { return r.key.kernel == "disk_direct"; })) {
    profile.disk = fit_named(rows, "disk_direct", read, FarTerms::bytes, where, cancel);
  }
  profile.page_cache = fit_named(rows, "disk_warm", read, FarTerms::bytes, where, cancel);
  for (const MicroRow& row : rows) {
    if (row.key.kernel == "handoff_spin") {
      profile.handoff_s = row.fitted_s();
    }
    if (row.key.kernel == "expert" && row.key.threads == 1) {
      const KernelCall call = expert(row.key);
      profile.peak_flops_per_s =
          std::max(profile.peak_flops_per_s, 2.0 * call.rows * call.weights / row.fitted_s());
      if (call.working_set_bytes > k_far_bytes) {
        profile.peak_bytes_per_s = std::max(profile.peak_bytes_per_s, call.bytes / row.fitted_s());
      }
    }
  }
  if (two && profile.handoff_s <= 0.0) {
    throw ConfigError(where,
                      "no rows of the kernel handoff_spin, but some of two threads; run: "
                      "moesim calibrate run cpu --out DIR");
  }
  if (profile.peak_bytes_per_s <= 0.0) {
    throw ConfigError(where,
                      "no rows of the kernel expert with one thread and a working set of more "
                      "than 64 MB; run: moesim calibrate run cpu --out DIR");
  }
  return profile;
}

}  // namespace moesim
