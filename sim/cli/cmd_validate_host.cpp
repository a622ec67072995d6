// moesim validate host: small Mixture-of-Experts layers really run on this machine, beside what the
// simulator says of them from microbenchmarks alone.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "calibrate/cpu/validate_host.h"
#include "sim/cli/command_line.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Options {
  HostValidationOptions run;
  CommonOptions common;
  std::string profile;
  std::string save;
};

Json times_json(const LayerTimes& times) {
  Json phases;
  for (std::size_t kind = 0; kind < k_step_kinds; ++kind) {
    phases[std::string(step_name(static_cast<MoeStepKind>(kind))) + "_s"] = times.phase_s.at(kind);
  }
  phases["disk_s"] = times.disk_s;
  return {{"step_s", times.step_s}, {"phases", phases}};
}

Json row_json(const HostComparison& row) {
  const MoeConfig& c = row.config;
  return {{"configuration", describe(c)},
          {"regime", c.regime},
          {"tokens", c.ranks * c.tokens_per_rank},
          {"measured", times_json(row.measured)},
          {"predicted", times_json(row.predicted)},
          {"naive_s", row.naive_s},
          {"error", row.error()},
          {"noise", row.noise()},
          {"p10_s", row.p10_s},
          {"p90_s", row.p90_s},
          {"first_visit_s", row.first_round_s},
          {"last_visit_s", row.last_round_s},
          {"repeats", row.repeats},
          {"disk_reads", row.disk_reads},
          {"deviation_from_reference", row.deviation},
          {"extrapolated", row.extrapolated}};
}

Json document_of(const HostValidation& result) {
  Json document{{"groups", Json::array()},
                {"skipped", Json::array()},
                {"configurations", Json::array()},
                {"host", {{"source", result.profile.source}}}};
  for (const HostGroup& group : result.groups) {
    Json one{{"name", group.name},
             {"n", group.n},
             {"median_ape", group.median_ape},
             {"p90_ape", group.p90_ape},
             {"worst_ape", group.worst_ape},
             {"mean_signed_error", group.mean_signed_error},
             {"median_noise", group.median_noise},
             {"worst_beyond_noise", group.worst_beyond_noise}};
    if (group.naive_median_ape > 0.0) {
      one["baseline"] = {{"naive_median_ape", group.naive_median_ape}};
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

std::string pair_text(double measured, double predicted) {
  return measured <= 0.0 && predicted <= 0.0
             ? "-"
             : human_seconds(measured) + " " + human_seconds(predicted);
}

void print_tables(const HostValidation& result) {
  Table rows({"configuration", "measured", "predicted", "error", "noise", "gate (m p)", "dispatch",
              "experts", "combine", "disk"});
  for (const HostComparison& row : result.rows) {
    std::vector<std::string> cells{describe(row.config), human_seconds(row.measured.step_s),
                                   human_seconds(row.predicted.step_s), percent(row.error()),
                                   percent(row.noise())};
    for (std::size_t kind = 0; kind < k_step_kinds; ++kind) {
      cells.push_back(pair_text(row.measured.phase_s.at(kind), row.predicted.phase_s.at(kind)));
    }
    cells.push_back(pair_text(row.measured.disk_s, row.predicted.disk_s));
    rows.row(std::move(cells));
  }
  std::cout << rows.text() << "\n";
  Table groups({"group", "runs", "median", "p90", "worst", "worst beyond noise", "mean signed",
                "noise, median", "naive roofline, median"});
  for (const HostGroup& group : result.groups) {
    groups.row({group.name, std::to_string(group.n), percent(group.median_ape),
                percent(group.p90_ape), percent(group.worst_ape), percent(group.worst_beyond_noise),
                percent(group.mean_signed_error), percent(group.median_noise),
                group.naive_median_ape > 0.0 ? percent(group.naive_median_ape) : "-"});
  }
  std::cout << groups.text();
  for (const auto& [reason, n] : result.skipped) {
    std::cout << "skipped " << n << " configurations: " << reason << "\n";
  }
  double deviation = 0.0;
  for (const HostComparison& row : result.rows) {
    deviation = std::max(deviation, row.deviation);
  }
  std::cout << "largest deviation of an output from the plain reference: " << deviation << "\n"
            << "profile: " << result.profile.source << "\n";
}

void save(const HostValidation& result, const std::string& folder) {
  write_text_file(folder + "/profile.json", host_profile_json(result.profile).dump(1) + "\n");
  write_text_file(folder + "/validation.json", document_of(result).dump(1) + "\n");
  if (!result.micro.empty()) {
    write_host_tables(result.micro, folder);
  }
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

int validate(const Options& options) {
  constexpr std::string_view suffix = ".moetrace";
  if (!options.run.trace.empty() && !options.run.trace.ends_with(suffix)) {
    throw ConfigError("--trace " + options.run.trace,
                      "is no trace of routing; give a file that ends in " + std::string(suffix));
  }
  if (!options.save.empty()) {
    prepare_folder(options.save);
    check_outputs(std::array{NamedFile{"--save", options.save + "/profile.json"},
                             NamedFile{"--save", options.save + "/validation.json"}},
                  std::array{NamedFile{"--profile", options.profile}});
  }
  HostValidationOptions run = options.run;
  if (!options.profile.empty()) {
    run.profile = parse_host_profile(read_json_file(options.profile), options.profile + "#");
  }
  if (run.scratch_folder.empty()) {
    run.scratch_folder = std::filesystem::temp_directory_path().string();
  }
  HostValidation result;
  {
    ProgressBar progress("measuring");
    result = validate_host(run, [&](double share) { progress.show(share); });
  }
  if (options.common.json) {
    std::cout << document_of(result).dump(1) << "\n";
  } else {
    print_tables(result);
  }
  if (!options.save.empty()) {
    save(result, options.save);
  }
  return 0;
}

}  // namespace

void add_validate_host_command(CLI::App& validate_app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = validate_app.add_subcommand(
      "host", "layers run on this machine against their simulation from microbenchmarks");
  sub->add_flag("--quick", options->run.quick, "fewer configurations and repeats (below 40 s)");
  sub->add_option("--configurations", options->run.configurations, "how many (default: 72)")
      ->check(CLI::Range(1, 1000));
  sub->add_option("--profile", options->profile,
                  "profile of this machine (default: measured now, in turns with the layers)")
      ->type_name("FILE");
  sub->add_option("--save", options->save, "folder for profile, tables (FAMILY.csv) and results")
      ->type_name("DIR");
  sub->add_option("--scratch", options->run.scratch_folder,
                  "folder on the disk from which experts are read (default: the temporary one)")
      ->type_name("DIR");
  sub->add_option("--trace", options->run.trace, "also replay this .moetrace")->type_name("FILE");
  sub->add_option("--seed", options->run.seed, "of the drawn configurations")
      ->capture_default_str();
  options->common.add_json(*sub);
  sub->footer("Example:\n  moesim validate host --save this_host");
  sub->callback([options, &command] { command.run = [options] { return validate(*options); }; });
}

}  // namespace moesim
