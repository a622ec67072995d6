#include <algorithm>
#include <cmath>
#include <map>

#include "calibrate/comm_fit.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

struct Errors {
  std::vector<double> absolute;
  std::vector<double> naive;
  double signed_sum = 0.0;
};

// "nccl-2.29.2" -> "nccl", "custom_allreduce/vLLM_custom_graph" stays: kernels of one name are
// taken for the same library, versions of NCCL for relatives.
std::string library_kind(const std::string& library) {
  return library.starts_with("nccl") ? "nccl" : library;
}

FoundCollective collective_for(const std::vector<CommProfile>& profiles, const CommTarget& target,
                               const CollectiveRow& row) {
  FoundCollective exact = find_collective(profiles, target, row.op, row.library);
  if (exact.basis == CommBasis::calibrated) {
    return exact;
  }
  FoundCollective kind = find_collective(profiles, target, row.op, library_kind(row.library));
  return kind.basis == CommBasis::uncalibrated ? find_collective(profiles, target, row.op, "")
                                               : kind;
}

double predicted(const CommRow& row, const std::vector<CommProfile>& profiles,
                 const CommProfile& system) {
  const CommTarget target{.device = system.device,
                          .architecture = system.architecture,
                          .device_link = system.device_link};
  if (row.is_collective) {
    return predicted_seconds(collective_for(profiles, target, row.collective).law, row.collective,
                             system);
  }
  const AllToAllRow& a = row.all_to_all;
  const FoundAllToAll found =
      find_all_to_all(profiles, target, a.algorithm, a.direction, a.nodes > 1);
  return predicted_seconds(found.law, a, system);
}

double naive(const CommRow& row, const CommProfile& system) {
  if (row.is_collective) {
    return row.collective.bytes * link_volume(row.collective.op, row.collective.ranks) /
           system.device_link.si();
  }
  const AllToAllVolume& v = row.all_to_all.volume;
  return std::max(v.device_bytes / system.device_link.si(), v.nic_bytes / system.nic.si());
}

}  // namespace

CommValidation validate_collectives(const std::string& directory,
                                    const std::vector<CommProfile>& profiles) {
  CommRows table = read_comm_rows(directory, profiles);
  std::map<std::string, Errors> groups;
  for (const CommRow& row : table.rows) {
    const auto system = std::ranges::find(profiles, row.system, &CommProfile::device);
    ensure(system != profiles.end(), "rows of unknown systems are skipped");
    const double error = predicted(row, profiles, *system) / row.seconds - 1.0;
    Errors& group = groups[row.group];
    group.absolute.push_back(std::abs(error));
    group.naive.push_back(std::abs(naive(row, *system) / row.seconds - 1.0));
    group.signed_sum += error;
  }
  CommValidation validation;
  validation.rows_read = table.read;
  validation.skipped = std::move(table.skipped);
  for (const auto& [name, errors] : groups) {
    const auto n = static_cast<std::int64_t>(errors.absolute.size());
    validation.groups.push_back(
        {name, n, quantile(errors.absolute, 0.5), quantile(errors.absolute, 0.9),
         errors.signed_sum / static_cast<double>(n), quantile(errors.naive, 0.5)});
  }
  return validation;
}

}  // namespace moesim
