#include "sim/app/validate_host.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

Json times_json(const LayerTimes& times) {
  Json phases;
  for (std::size_t kind = 0; kind < k_step_kinds; ++kind) {
    phases[std::string(step_name(static_cast<MoeStepKind>(kind))) + "_s"] = times.phase_s.at(kind);
  }
  phases["disk_s"] = times.disk_s;
  return {{"step_s", times.step_s}, {"phases", phases}};
}

Json interval_json(const HostInterval& interval) {
  return Json::array({interval.low, interval.high});
}

Json verdict_json(const HostVerdict& verdict) {
  return {{"answer", answer_name(verdict.answer)},
          {"bar", verdict.bar},
          {"median_ape", verdict.median_ape},
          {"interval", interval_json(verdict.interval)},
          {"noise", verdict.noise},
          {"n", verdict.n},
          {"text", verdict.text}};
}

Json noise_json(const HostNoise& noise) {
  return {{"rounds", noise.rounds},
          {"narrow", noise.narrow},
          {"undisturbed_share", noise.undisturbed_share},
          {"stolen_visit_share", noise.stolen_visit_share},
          {"layer_half_width", noise.layer_half_width},
          {"microbenchmark_half_width", noise.micro_half_width},
          {"disturbed_kernels", noise.disturbed}};
}

Json row_json(const HostComparison& row) {
  const MoeConfig& c = row.config;
  return {{"configuration", describe(c)},
          {"regime", c.regime},
          {"tokens", c.ranks * c.tokens_per_rank},
          {"measured", times_json(row.measured)},
          {"predicted", times_json(row.predicted)},
          {"naive_s", row.naive_s},
          {"measured_interval_s", interval_json({row.step.low_s, row.step.high_s})},
          {"predicted_interval_s", interval_json(row.predicted_s)},
          {"error", row.error()},
          {"interval", interval_json(row.error_interval())},
          {"noise", row.noise()},
          {"p10_s", row.p10_s},
          {"p90_s", row.p90_s},
          {"rounds", row.step.rounds},
          {"repeats", row.step.undisturbed},
          {"disk_reads", row.disk_reads},
          {"deviation_from_reference", row.deviation},
          {"extrapolated", row.extrapolated}};
}

// Measuring takes minutes: what cannot be kept must be told before.
void prepare_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error || ::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw ConfigError(
        "--save " + folder,
        "cannot be created or written to: " +
            (error ? error : std::error_code(errno, std::generic_category())).message() +
            "; give a folder of your own");
  }
}

}  // namespace

Json to_json(const HostValidation& result) {
  Json document{{"groups", Json::array()},
                {"skipped", Json::array()},
                {"configurations", Json::array()},
                {"noise", noise_json(result.noise)},
                {"verdict", verdict_json(result.verdict)},
                {"host", {{"source", result.source}}}};
  for (const HostGroup& group : result.groups) {
    Json one{{"name", group.name},
             {"n", group.n},
             {"median_ape", group.median_ape},
             {"p90_ape", group.p90_ape},
             {"worst_ape", group.worst_ape},
             {"mean_signed_error", group.mean_signed_error}};
    if (group.naive_median_ape > 0.0) {
      one["baseline"] = {{"naive_median_ape", group.naive_median_ape}};
      one["interval"] = interval_json(group.interval);
      one["noise"] = group.median_noise;
      one["worst_beyond_noise"] = group.worst_beyond_noise;
    }
    document["groups"].push_back(std::move(one));
  }
  for (const auto& [reason, n] : result.skipped) {
    document["skipped"].push_back({{"reason", reason}, {"n", n}});
  }
  for (const HostComparison& row : result.rows) {
    document["configurations"].push_back(row_json(row));
  }
  return document;
}

HostValidation validate_host(const ValidateHostOptions& options) {
  HostValidationOptions run = options.run;
  constexpr std::string_view suffix = ".moetrace";
  if (!run.trace.empty() && !run.trace.ends_with(suffix)) {
    throw ConfigError("--trace " + run.trace,
                      "is no trace of routing; give a file that ends in " + std::string(suffix));
  }
  if (run.scratch_folder.empty()) {
    throw ConfigError("--scratch",
                      "missing; give a folder on the disk from which experts are read");
  }
  if (!options.save.empty()) {
    prepare_folder(options.save);
    check_outputs(std::array{NamedFile{"--save", options.save + "/profile.json"},
                             NamedFile{"--save", options.save + "/validation.json"}},
                  std::array{NamedFile{"--profile", options.profile}});
  }
  if (!options.profile.empty()) {
    run.profile = parse_host_profile(read_json_file(options.profile), options.profile + "#");
  }
  return validate_host(run, options.progress);
}

void save_host_validation(const HostValidation& result, const std::string& folder) {
  if (result.profile) {
    write_text_file(folder + "/profile.json", host_profile_json(*result.profile).dump(1) + "\n");
    write_host_tables(result.micro, folder);
  }
  write_text_file(folder + "/validation.json", to_json(result).dump(1) + "\n");
}

}  // namespace moesim
