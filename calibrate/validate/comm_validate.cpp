#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include "calibrate/fit/comm_fit.h"
#include "calibrate/fit/comm_fit_rows.h"
#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

struct Errors {
  std::vector<double> absolute;
  std::vector<double> naive;
  std::vector<double> interpolated;
  std::vector<double> regular;  // absolute, of the rows that are not erratic
  double signed_sum = 0.0;
  std::int64_t inside = 0;
};

struct Predicted {
  double seconds = 0.0;
  double sigma = 0.0;
  bool extrapolated = false;
};

// The same kernel, another version of it, the same library on other numbers: kernels of one name
// are taken for the same library, versions of NCCL for relatives.
std::vector<std::string> relatives(const std::string& library) {
  if (library.starts_with("nccl_int8")) {
    return {library, "nccl_int8", "nccl"};
  }
  return library.starts_with("nccl") ? std::vector<std::string>{library, "nccl"}
                                     : std::vector<std::string>{library};
}

FoundCollective law_of(const CollectiveRow& row, const std::vector<CommProfile>& profiles,
                       const CommTarget& target) {
  // These before what a run would take instead.
  return choose_collective(profiles, target, row.op, relatives(row.library), "");
}

CommTarget target_of(const CommProfile& system) {
  return {.device = system.device,
          .architecture = system.architecture,
          .device_link = system.device_link,
          .nic = system.fabric};
}

Predicted predicted(const AllToAllRow& a, const std::vector<CommProfile>& profiles,
                    const CommTarget& target, const CommProfile& system) {
  FoundAllToAll found = find_all_to_all(profiles, target, a.algorithm, a.direction, a.nodes > 1);
  if (found.basis == CommBasis::uncalibrated) {  // as a run would: any library's
    found = find_all_to_all(profiles, target, a.algorithm.substr(0, a.algorithm.find('.')),
                            a.direction, a.nodes > 1);
  }
  const bool outside = found.extrapolates(a.tokens, a.hidden, a.ranks);
  return {predicted_seconds(found.law, a, system), standard_error(found.fit, found.basis, outside),
          outside};
}

Predicted predicted(const CommRow& row, const std::vector<CommProfile>& profiles,
                    const CommProfile& system) {
  const CommTarget target = target_of(system);
  if (row.is_collective) {
    const CollectiveRow& c = row.collective;
    const FoundCollective found = law_of(c, profiles, target);
    const bool outside = found.extrapolates(c.ranks, Bytes(c.bytes));
    return {predicted_seconds(found.law, c, system),
            standard_error(found.fit, found.basis, outside), outside};
  }
  Predicted there = predicted(row.all_to_all, profiles, target, system);
  if (row.back) {
    const Predicted back = predicted(row.combine, profiles, target, system);
    there = {there.seconds + back.seconds, std::max(there.sigma, back.sigma),
             there.extrapolated || back.extrapolated};
  }
  return there;
}

using Dims = std::array<double, k_all_to_all_dims.size()>;

Dims dims_of(const CommRow& row) {
  if (row.is_collective) {
    return {static_cast<double>(row.collective.ranks), row.collective.bytes};
  }
  const AllToAllRow& a = row.all_to_all;
  return {static_cast<double>(a.ranks),   static_cast<double>(a.nodes),
          static_cast<double>(a.tokens),  static_cast<double>(a.hidden),
          static_cast<double>(a.experts), static_cast<double>(a.top_k),
          static_cast<double>(a.sms)};
}

// Measured times of a group's collectives by bytes and number of ranks: the directory's, and those
// that the device's own profile remembers.
class Interpolation {
 public:
  explicit Interpolation(const std::vector<CommRow>& rows) {
    for (const CommRow& row : rows) {
      if (row.is_collective) {
        times_[{row.group, row.collective.bytes}][row.collective.ranks] = row.seconds;
      }
    }
  }

  // 0: no number of ranks on both sides was measured.
  [[nodiscard]] double seconds(const CommRow& row, const FoundCollective& law,
                               const CommProfile& system) const {
    const CollectiveRow& c = row.collective;
    std::map<int, double> others = times_.at({row.group, c.bytes});
    if (law.basis == CommBasis::calibrated) {
      for (const MeasuredCurve& curve : law.law.curves) {
        others.try_emplace(
            curve.ranks, law.law.time(c.op, curve.ranks, Bytes(c.bytes), system.device_link).si());
      }
    }
    others.erase(c.ranks);
    const auto above = others.upper_bound(c.ranks);
    if (above == others.begin() || above == others.end()) {
      return 0.0;
    }
    const auto below = std::prev(above);
    const double share = std::log(static_cast<double>(c.ranks) / below->first) /
                         std::log(static_cast<double>(above->first) / below->first);
    return std::pow(below->second, 1.0 - share) * std::pow(above->second, share);
  }

 private:
  std::map<std::pair<std::string, double>, std::map<int, double>> times_;
};

// Rows that the fit would leave out of the families of these rows.
std::set<const CommRow*> erratic_among(const std::vector<CommRow>& rows) {
  using Key = std::tuple<std::string, std::string, Direction, bool>;
  std::map<Key, RowPointers> families;
  for (const CommRow& row : rows) {
    const AllToAllRow& a = row.all_to_all;
    if (!row.is_collective && !row.back) {
      families[{row.system, a.algorithm, a.direction, a.nodes > 1}].push_back(&row);
    }
  }
  std::set<const CommRow*> erratic;
  for (const auto& [key, family] : families) {
    erratic.insert(family.begin(), family.end());
    for (const CommRow* kept : without_erratic(family)) {
      erratic.erase(kept);
    }
  }
  return erratic;
}

std::vector<CommProfile> without_laws_of(std::vector<CommProfile> profiles,
                                         const std::string& device) {
  for (CommProfile& profile : profiles) {
    if (profile.device == device) {
      profile.all_to_all.clear();
      profile.collectives.clear();
    }
  }
  return profiles;
}

CommGroup summary(const std::string& name, const Errors& errors) {
  CommGroup group;
  group.name = name;
  group.n = static_cast<std::int64_t>(errors.absolute.size());
  const auto n = static_cast<double>(group.n);
  group.median_ape = quantile(errors.absolute, 0.5);
  group.p90_ape = quantile(errors.absolute, 0.9);
  group.mean_signed_error = errors.signed_sum / n;
  group.naive_median_ape = quantile(errors.naive, 0.5);
  group.inside_p10_p90 = static_cast<double>(errors.inside) / n;
  group.interpolated = static_cast<std::int64_t>(errors.interpolated.size());
  if (group.interpolated > 0) {
    group.interpolation_median_ape = quantile(errors.interpolated, 0.5);
    group.interpolation_p90_ape = quantile(errors.interpolated, 0.9);
  }
  group.erratic = group.n - static_cast<std::int64_t>(errors.regular.size());
  if (!errors.regular.empty()) {
    group.regular_median_ape = quantile(errors.regular, 0.5);
    group.regular_p90_ape = quantile(errors.regular, 0.9);
  }
  return group;
}

}  // namespace

CommValidation validate_collectives(const std::string& directory,
                                    const std::vector<CommProfile>& all_profiles,
                                    const PointVisitor& visit, bool leave_device_out) {
  CommRows table = read_comm_rows(directory, all_profiles);
  const Interpolation interpolation(table.rows);
  const std::set<const CommRow*> erratic = erratic_among(table.rows);
  std::map<std::string, std::vector<CommProfile>> others;  // by the device that is left out
  std::map<std::string, Errors> groups;
  for (const CommRow& row : table.rows) {
    if (leave_device_out && !others.contains(row.system)) {
      others[row.system] = without_laws_of(all_profiles, row.system);
    }
    const auto& profiles = leave_device_out ? others.at(row.system) : all_profiles;
    const CommProfile* system = system_of(row, profiles);
    ensure(system != nullptr, "rows of unknown systems are skipped");
    const Predicted prediction = predicted(row, profiles, *system);
    const Dims dims = dims_of(row);
    const std::span<const std::string_view> names =
        row.is_collective ? std::span<const std::string_view>(k_collective_dims)
                          : std::span<const std::string_view>(k_all_to_all_dims);
    const JudgedPoint point{
        .group = row.group,
        .kernel_source = row.is_collective ? row.collective.library : row.all_to_all.algorithm,
        .dim_names = names,
        .dims = std::span(dims).first(names.size()),
        .measured_s = row.seconds,
        .predicted_s = prediction.seconds,
        .naive_s = ideal_seconds(row, *system),
        .sigma = prediction.sigma,
        .extrapolated = prediction.extrapolated,
        .file = row.file,
        .line = row.line};
    if (visit) {
      visit(point);
    }
    const double error = point.predicted_s / point.measured_s - 1.0;
    Errors& group = groups[row.group];
    group.inside += inside_p10_p90(point) ? 1 : 0;
    group.absolute.push_back(std::abs(error));
    group.naive.push_back(std::abs(point.naive_s / point.measured_s - 1.0));
    group.signed_sum += error;
    if (!erratic.contains(&row)) {
      group.regular.push_back(std::abs(error));
    }
    if (row.is_collective) {
      const FoundCollective law = law_of(row.collective, profiles, target_of(*system));
      const double between = interpolation.seconds(row, law, *system);
      if (between > 0.0) {
        group.interpolated.push_back(std::abs(between / row.seconds - 1.0));
      }
    }
  }
  CommValidation validation;
  validation.rows_read = table.read;
  validation.skipped = std::move(table.skipped);
  for (const auto& [name, errors] : groups) {
    validation.groups.push_back(summary(name, errors));
  }
  return validation;
}

}  // namespace moesim
