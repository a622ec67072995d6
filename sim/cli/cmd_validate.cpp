// moesim validate: predictions of the shipped profiles against measurements.
#include <iostream>
#include <nlohmann/json.hpp>

#include "calibrate/comm_fit.h"
#include "calibrate/validate_kernels.h"
#include "sim/cli/command_line.h"
#include "sim/cli/device_catalog.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Options {
  CommonOptions common;
  std::string directory;
};

Json kernels(const Options& options) {
  const CatalogFolders folders = catalog_folders(options.common.catalog);
  ProgressBar progress("validating");
  const ValidationReport report = validate_kernels(
      options.directory, folders.kernel_profiles,
      [&](const std::string& name) { return find_device_peaks(folders, name); },
      [&](std::size_t done, std::size_t total, const std::string&) {
        progress.show(static_cast<double>(done) / static_cast<double>(total));
      });
  return Json::parse(validation_json(report));
}

Json collectives(const Options& options) {
  const CatalogFolders folders = catalog_folders(options.common.catalog);
  const CommValidation result =
      validate_collectives(options.directory, load_comm_profiles(folders.comm_profiles));
  if (result.rows_read == 0) {
    throw ConfigError(options.directory,
                      "holds no table of measured collectives; give a folder of "
                      "CSV files named nccl-*, deepep_*, ...");
  }
  Json document{{"groups", Json::array()}, {"skipped", Json::array()}};
  for (const CommGroup& group : result.groups) {
    document["groups"].push_back({{"name", group.name},
                                  {"n", group.n},
                                  {"median_ape", group.median_ape},
                                  {"p90_ape", group.p90_ape},
                                  {"mean_signed_error", group.mean_signed_error},
                                  {"baseline", {{"naive_median_ape", group.naive_median_ape}}}});
  }
  for (const auto& [reason, rows] : result.skipped) {
    document["skipped"].push_back({{"reason", reason}, {"n", rows}});
  }
  return document;
}

void print(const Json& document, bool json) {
  if (json) {
    std::cout << document.dump(1) << "\n";
    return;
  }
  Table table({"group", "rows", "median", "p90", "mean signed", "naive median"});
  for (const Json& group : document["groups"]) {
    table.row({group["name"], group["n"].dump(), percent(group["median_ape"]),
               percent(group["p90_ape"]), percent(group["mean_signed_error"]),
               percent(group["baseline"]["naive_median_ape"])});
  }
  std::cout << table.text();
  for (const Json& row : document["skipped"]) {
    std::cout << "skipped " << row["n"] << " rows: " << row["reason"].get<std::string>() << "\n";
  }
}

}  // namespace

void add_validate_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("validate", "predictions against measurements");
  sub->require_subcommand(1);
  const auto add = [&](const char* name, const char* text, Json (*run)(const Options&)) {
    CLI::App* kind = sub->add_subcommand(name, text);
    kind->add_option("dir", options->directory, "folder of measured CSV files, searched downwards")
        ->required()
        ->type_name("DIR");
    options->common.add_json(*kind);
    options->common.add_catalog(*kind);
    kind->callback([options, &command, run] {
      command.run = [options, run] {
        print(run(*options), options->common.json);
        return 0;
      };
    });
  };
  add("kernels", "kernel times (GEMM, MoE, attention, MLA)", kernels);
  add("collectives", "collectives and all-to-all", collectives);
  add_validate_host_command(*sub, command);
  sub->footer(
      "Errors are |predicted/measured - 1|; the naive baseline is the data sheet's roofline.\n"
      "Example:\n  moesim validate kernels measured/h100_sxm");
}

}  // namespace moesim
