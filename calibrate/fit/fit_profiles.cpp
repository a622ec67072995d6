#include "calibrate/fit/fit_profiles.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <tuple>

#include "calibrate/fit/slow_paths.h"
#include "sim/core/error.h"
#include "sim/core/quantile.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace {

using Rows = std::vector<const KernelRow*>;

// Rows that may be fitted. A case in which some row beats the bound measured something else in the
// others too, so that all its rows go.
Rows usable_rows(const KernelRows& table, const DevicePeaks& device) {
  using Case = std::tuple<std::uint16_t, std::uint64_t, std::uint16_t, double, double>;
  const auto case_of = [](const KernelRow& row) {
    const bool experts = !is_counted(row.shape.key.kind);
    return Case(row.source, row.shape_group, row.group, experts ? row.shape.dims[dim::inter] : 0.0,
                experts ? row.shape.dims[dim::local_experts] : 0.0);
  };
  const auto one_case = [](const KernelRow& row) {
    const KernelKind kind = row.shape.key.kind;
    return kind == KernelKind::moe || kind == KernelKind::moe_ungated || is_counted(kind);
  };
  std::set<Case> broken;
  for (const KernelRow& row : table.rows) {
    if (one_case(row) && beats_physics(row, device)) {
      broken.insert(case_of(row));
    }
  }
  Rows rows;
  for (const KernelRow& row : table.rows) {
    if (!beats_physics(row, device) && !(one_case(row) && broken.contains(case_of(row)))) {
      rows.push_back(&row);
    }
  }
  return rows;
}

struct FamilyId {
  std::string name;
  std::string source;
  friend auto operator<=>(const FamilyId&, const FamilyId&) = default;
};

// "# source: X; device: Y" -> "X; device: Y".
std::string citation(const std::string& comment) {
  std::string text = comment.substr(0, comment.find('\n'));
  const std::string_view prefix = " source: ";
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

// One family of one profile, to be fitted.
struct Job {
  const KernelRows* table = nullptr;  // the first one with such rows
  std::size_t more_tables = 0;
  FamilyId id;
  Rows rows;
  std::int64_t all = 0;  // usable or not
};

// A fit of fewer could not be judged on rows that are left out. Of kernels that are known by their
// counted work, whose form has three coefficients, one row calibrates, with bars that say so.
constexpr std::size_t k_least_rows = 16;
bool enough(const Rows& rows) {
  return rows.size() >= k_least_rows || (!rows.empty() && is_counted(rows.front()->shape.key.kind));
}

// Files of one system, framework and version may hold parts of one family.
std::vector<Job> jobs_of(const std::vector<KernelRows>& tables) {
  using ProfileId = std::tuple<std::string, std::string, std::string>;
  std::map<std::pair<ProfileId, FamilyId>, Job> families;
  std::vector<const std::pair<const std::pair<ProfileId, FamilyId>, Job>*> order;
  for (const KernelRows& table : tables) {
    const ProfileId profile(table.file.system, table.file.framework, table.file.version);
    const auto job_of = [&](const KernelRow& row) -> Job& {
      const auto [entry, is_new] =
          families.try_emplace({profile, {family_name(row.shape.key), table.sources[row.source]}});
      if (is_new) {
        entry->second.table = &table;
        entry->second.id = entry->first.second;
        order.push_back(&*entry);
      }
      return entry->second;
    };
    std::set<const Job*> touched;
    for (const KernelRow& row : table.rows) {
      Job& job = job_of(row);
      ++job.all;
      if (job.table != &table && touched.insert(&job).second) {
        ++job.more_tables;
      }
    }
    for (const KernelRow* row : usable_rows(table, table.device)) {
      job_of(*row).rows.push_back(row);
    }
  }
  std::vector<Job> jobs;
  for (const auto* entry : order) {
    if (enough(entry->second.rows)) {
      jobs.push_back(entry->second);
    }
  }
  return jobs;
}

struct FittedJob {
  FittedFamily family;
  FittedFamily roofline;
};

FittedJob fit_job(const Job& job, const KernelFitOptions& options) {
  const KernelKey key = job.rows.front()->shape.key;
  const KernelContext context = kernel_context(job.table->device, key);
  FittedJob result;
  result.family = fit_family(job.rows, form_of(key.kind), context, job.id.source, options);
  result.family.rows_skipped = job.all - result.family.rows_used;
  result.family.source = citation(job.table->citation);
  if (job.more_tables > 0) {
    result.family.source += "; and " + std::to_string(job.more_tables) + " more files";
  }
  KernelFitOptions form_only = options;
  form_only.correct = false;
  result.roofline = fit_family(job.rows, *find_form("roofline"), context, job.id.source, form_only);
  return result;
}

template <class Value>
double median_of(const std::vector<const FittedFamily*>& families, Value value) {
  std::vector<double> values;
  for (const FittedFamily* family : families) {
    values.push_back(value(*family));
  }
  return rounded(median(std::move(values)));
}

// Absorbed prefill and converted caches are other work than what steps lower. Kinds that one device
// has been measured on say nothing about devices in general: products and attention stand in.
bool is_lowered(const FittedFamily& family) {
  return family.algorithm.prefill == MlaPrefill::expanded &&
         family.algorithm.cache == CacheRead::native && !is_counted(family.kind) &&
         without_window(family.kind) == family.kind;
}

// `evidence`: the roofline's coefficients of every measured family.
KernelProfile spec_sheet(const std::vector<FittedFamily>& evidence,
                         const KernelFitOptions& options) {
  KernelProfile profile;
  profile.device.device = "any";
  profile.framework = k_spec_sheet;
  profile.version = "1";
  profile.date = options.date;
  for (std::size_t kind = 0; kind < k_kernel_kinds; ++kind) {
    std::vector<const FittedFamily*> families;
    for (const FittedFamily& family : evidence) {
      if (family.kind == static_cast<KernelKind>(kind) && is_lowered(family)) {
        families.push_back(&family);
      }
    }
    if (families.empty()) {
      continue;
    }
    FittedFamily family;
    family.kind = static_cast<KernelKind>(kind);
    family.preferred = true;
    family.form = find_form("roofline");
    for (std::size_t i = 0; i < family.form->parameters.size(); ++i) {
      family.coefficients.push_back(
          median_of(families, [i](const FittedFamily& f) { return f.coefficients[i]; }));
    }
    family.in_sample = {
        median_of(families, [](const FittedFamily& f) { return f.in_sample.median; }),
        median_of(families, [](const FittedFamily& f) { return f.in_sample.p90; })};
    family.left_out = {median_of(families, [](const FittedFamily& f) { return f.left_out.median; }),
                       median_of(families, [](const FittedFamily& f) { return f.left_out.p90; })};
    family.left_out_form = family.left_out;
    family.neighbour = {
        median_of(families, [](const FittedFamily& f) { return f.neighbour.median; }),
        median_of(families, [](const FittedFamily& f) { return f.neighbour.p90; })};
    family.naive = {median_of(families, [](const FittedFamily& f) { return f.naive.median; }),
                    median_of(families, [](const FittedFamily& f) { return f.naive.p90; })};
    for (const FittedFamily* f : families) {
      family.rows_used += f->rows_used;
    }
    family.source = "median of the roofline coefficients of " + std::to_string(families.size()) +
                    " measured families of this operation; errors: medians over those families, "
                    "each with its own coefficients";
    profile.families.push_back(family);
  }
  return profile;
}

// Of several kernels of one family the one that is the fastest most often answers when none is
// named, since engines tune for that; of those that were never timed on the same shapes the best
// measured one.
void choose_preferred(KernelProfile& profile,
                      const std::map<MeasuredKernel, std::int64_t>& won_by_kernel) {
  const auto won = [&](const FittedFamily& family) {
    const auto found = won_by_kernel.find({profile.device.device, profile.framework,
                                           profile.version, family.name(), family.kernel_source});
    return found == won_by_kernel.end() ? 0 : found->second;
  };
  const auto better = [&won](const FittedFamily& a, const FittedFamily& b) {
    return std::tuple(won(b), b.rows_used, a.kernel_source) <
           std::tuple(won(a), a.rows_used, b.kernel_source);
  };
  for (FittedFamily& family : profile.families) {
    family.preferred = std::ranges::none_of(profile.families, [&](const FittedFamily& other) {
      return other.name() == family.name() && better(other, family);
    });
  }
}

}  // namespace

std::string profile_file_name(const KernelProfile& profile) {
  if (profile.framework == k_spec_sheet) {
    return "spec_sheet.json";
  }
  return profile.device.device + "." + profile.framework + "-" + profile.version + ".json";
}

std::vector<KernelProfile> fit_profiles(const std::string& dir, const DeviceLookup& devices,
                                        const KernelFitOptions& options, const Progress& progress) {
  LoadGenerator loads(options.seed);
  std::vector<KernelRows> tables;
  for (const MeasuredFile& file : measured_files(dir)) {
    tables.push_back(read_kernel_rows(file, devices, loads));
  }
  const std::vector<Job> jobs = jobs_of(tables);
  if (jobs.empty()) {
    std::size_t rows = 0;
    for (const KernelRows& table : tables) {
      rows += table.rows.size();
    }
    throw ConfigError(dir, rows == 0 ? std::string("holds no kernel measurements of a known system")
                                     : "holds " + std::to_string(rows) +
                                           " measurements, but no kernel with the " +
                                           std::to_string(k_least_rows) + " that a fit needs");
  }
  std::vector<FittedJob> fitted(jobs.size());
  std::mutex mutex;
  std::size_t done = 0;
  parallel_for(jobs.size(), options.threads, [&](std::size_t i) {
    fitted[i] = fit_job(jobs[i], options);
    const std::scoped_lock lock(mutex);
    ++done;
    tell(progress, done, jobs.size());
  });
  using Id = std::tuple<std::string, std::string, std::string>;
  std::map<Id, KernelProfile> profiles;
  const std::set<MeasuredKernel> slow = slow_paths(tables);
  const std::map<MeasuredKernel, std::int64_t> won = won_cases(tables);
  std::vector<FittedFamily> evidence;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const MeasuredFile& file = jobs[i].table->file;
    KernelProfile& profile = profiles[{file.system, file.framework, file.version}];
    profile.device = jobs[i].table->device;
    profile.framework = file.framework;
    profile.version = file.version;
    profile.date = options.date;
    fitted[i].family.slow_path =
        slow.contains({file.system, file.framework, file.version, fitted[i].family.name(),
                       fitted[i].family.kernel_source});
    profile.families.push_back(std::move(fitted[i].family));
    evidence.push_back(std::move(fitted[i].roofline));
  }
  std::vector<KernelProfile> result;
  for (auto& [id, profile] : profiles) {
    choose_preferred(profile, won);
    result.push_back(std::move(profile));
  }
  KernelProfile sheet = spec_sheet(evidence, options);
  if (!sheet.families.empty()) {
    result.push_back(std::move(sheet));
  }
  return result;
}

}  // namespace moesim
