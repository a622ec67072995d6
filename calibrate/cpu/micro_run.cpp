#include "calibrate/cpu/micro_run.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "calibrate/cpu/host_kernels.h"
#include "calibrate/cpu/host_tables.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

constexpr double k_budget_s_per_case = 0.3;

std::string processor_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name")) {
      const auto at = line.find_first_not_of(" \t", line.find(':') + 1);
      return at == std::string::npos ? "unknown processor" : line.substr(at);
    }
  }
  return "unknown processor";
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 16> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d", &utc);
  return text.data();
}

// Did an earlier run on this machine measure exactly these cases? A damaged file counts as not.
bool is_finished(const std::string& path, const std::vector<MicroKey>& keys,
                 const std::string& source) {
  if (!std::filesystem::exists(path)) {
    return false;
  }
  try {
    const MicroTable table = read_micro_table(path);
    return machine_of(table.source) == machine_of(source) &&
           std::ranges::equal(table.rows, keys, {}, &MicroRow::key);
  } catch (const ConfigError&) {
    return false;
  }
}

std::vector<MicroFamily> wanted_families(const std::vector<std::string>& names) {
  std::vector<MicroFamily> wanted;
  std::vector<std::string_view> known;
  for (const MicroFamily& family : micro_families()) {
    known.push_back(family.name);
    if (names.empty() || std::ranges::find(names, family.name) != names.end()) {
      wanted.push_back(family);
    }
  }
  for (const std::string& name : names) {
    if (std::ranges::find(known, name) == known.end()) {
      throw ConfigError("--only " + name,
                        "is no family of microbenchmarks; there are: " + joined(known));
    }
  }
  return wanted;
}

}  // namespace

std::string host_description() {
  return processor_name() + ", " + std::to_string(usable_processors().size()) + " processors, " +
         blas_name() + ", " + today();
}

std::int64_t pool_bytes(bool quick) { return std::int64_t{quick ? 160 : 512} << 20; }

std::int64_t disk_bytes(bool quick) { return std::int64_t{quick ? 64 : 192} << 20; }

RoundPlan micro_plan(bool quick, std::size_t cases) {
  const int rounds = quick ? 3 : 6;
  return {.least = rounds,
          .most = rounds,
          .patience_s = k_budget_s_per_case * static_cast<double>(cases)};
}

// Many short visits: another round tells more than another repeat within one.
RepeatLimits micro_limits(const MicroFamily& family) {
  return {family.seconds_per_visit, 1, 20, 6.0};
}

void MicroSession::add(std::vector<MicroCase> more, const RepeatLimits& limits) {
  for (MicroCase& one : more) {
    keys.push_back(one.key);
    cases.push_back({std::move(one.run), limits, {}});
    cases.back().limits.warm_ups = one.sets_caches ? 0 : 1;
  }
}

SessionHooks session_hooks(const ThreadTeam& team, Progress progress,
                           const std::atomic<bool>* cancel) {
  const std::span<const int> processors = team.processors();
  return {std::move(progress), cancel, [processors] { return stolen_ticks(processors); },
          host_now_s};
}

std::vector<MicroRow> micro_rows(std::span<const MicroKey> keys, std::span<const Repeated> cases) {
  ensure(keys.size() == cases.size(), "one key per case");
  std::vector<MicroRow> rows;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Quantiles q = quantiles_of_all(cases[i]);
    rows.push_back(
        {keys[i], q.median_s, q.p10_s, q.p90_s, q.repeats, measured_time(cases[i].rounds).seconds});
  }
  return rows;
}

std::vector<MicroRunResult> run_microbenchmarks(
    const MicroRunOptions& options,
    const std::function<void(const std::string& family, double share)>& progress) {
  const std::vector<MicroFamily> families = wanted_families(options.families);
  std::filesystem::create_directories(options.out);
  use_one_blas_thread();
  const std::string source =
      host_description();  // before the team narrows what this thread may use
  ThreadTeam team(static_cast<int>(std::min<std::size_t>(usable_processors().size(), 64)));
  const WeightPool pool(pool_bytes(options.quick), k_weight_scale);
  const ExpertFile file(options.scratch_folder.empty() ? options.out : options.scratch_folder, pool,
                        disk_bytes(options.quick));
  const MicroMachine machine{team, pool, file, nullptr};
  std::vector<MicroRunResult> results;
  for (const MicroFamily& family : families) {
    const std::string name(family.name);
    MicroSession session;
    session.add(family.cases(machine, options.quick), micro_limits(family));
    MicroRunResult result{name, options.out + "/" + name + ".csv", session.keys.size(),
                          file.has_direct() ? 0 : family.device_kernels, false};
    if (is_finished(result.path, session.keys, source)) {
      result.kept = true;
    } else {
      SessionHooks hooks = session_hooks(team, [&](double share) {
        if (progress) {
          progress(name, share);
        }
      });
      interleave(session.cases, micro_plan(options.quick, session.keys.size()), hooks);
      write_text_file(result.path,
                      micro_table_text({source, micro_rows(session.keys, session.cases)}));
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace moesim
