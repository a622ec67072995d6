#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "calibrate/fit/comm_fit.h"
#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

struct Errors {
  std::vector<double> absolute;
  std::vector<double> naive;
  double signed_sum = 0.0;
  std::int64_t inside = 0;
};

struct Predicted {
  double seconds = 0.0;
  double sigma = 0.0;
  bool extrapolated = false;
};

// "nccl-2.29.2" -> "nccl", "custom_allreduce/vLLM_custom_graph" stays: kernels of one name are
// taken for the same library, versions of NCCL for relatives.
std::string library_kind(const std::string& library) {
  return library.starts_with("nccl") ? "nccl" : library;
}

Predicted predicted(const CommRow& row, const std::vector<CommProfile>& profiles,
                    const CommProfile& system) {
  const CommTarget target{.device = system.device,
                          .architecture = system.architecture,
                          .device_link = system.device_link};
  if (row.is_collective) {
    const CollectiveRow& c = row.collective;
    // The same kernel, or another version of it, before what a run would take instead.
    const std::vector<std::string> names{c.library, library_kind(c.library)};
    const FoundCollective found = choose_collective(profiles, target, c.op, names, "");
    const bool outside = found.extrapolates(c.ranks, Bytes(c.bytes));
    return {predicted_seconds(found.law, c, system),
            standard_error(found.fit, found.basis, outside), outside};
  }
  const AllToAllRow& a = row.all_to_all;
  const FoundAllToAll found =
      find_all_to_all(profiles, target, a.algorithm, a.direction, a.nodes > 1);
  const bool outside = found.extrapolates(a.tokens, a.hidden, a.ranks);
  return {predicted_seconds(found.law, a, system), standard_error(found.fit, found.basis, outside),
          outside};
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

}  // namespace

CommValidation validate_collectives(const std::string& directory,
                                    const std::vector<CommProfile>& profiles,
                                    const PointVisitor& visit) {
  CommRows table = read_comm_rows(directory, profiles);
  std::map<std::string, Errors> groups;
  for (const CommRow& row : table.rows) {
    const auto system = std::ranges::find(profiles, row.system, &CommProfile::device);
    ensure(system != profiles.end(), "rows of unknown systems are skipped");
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
  }
  CommValidation validation;
  validation.rows_read = table.read;
  validation.skipped = std::move(table.skipped);
  for (const auto& [name, errors] : groups) {
    const auto n = static_cast<std::int64_t>(errors.absolute.size());
    validation.groups.push_back(
        {name, n, quantile(errors.absolute, 0.5), quantile(errors.absolute, 0.9),
         errors.signed_sum / static_cast<double>(n), quantile(errors.naive, 0.5),
         static_cast<double>(errors.inside) / static_cast<double>(n)});
  }
  return validation;
}

}  // namespace moesim
