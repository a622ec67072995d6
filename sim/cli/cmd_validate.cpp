// moesim validate: predictions of the shipped profiles against measurements.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/validate.h"
#include "sim/cli/command_line.h"
#include "sim/cli/notebook_module.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Options {
  CommonOptions common;
  ValidateOptions task;
  std::string png;

  // Pictures are drawn from the table of points.
  [[nodiscard]] std::string points_file() const {
    return task.points.empty() && !png.empty()
               ? (std::filesystem::path(png) / "points.csv").string()
               : task.points;
  }
};

ValidateOptions task_of(const Options& options) {
  ValidateOptions task = options.task;
  task.catalogs = catalogs_of(options.common);
  if (!options.png.empty()) {
    std::filesystem::create_directories(options.png);
  }
  task.points = options.points_file();
  return task;
}

Json kernels(const Options& options) {
  ValidateOptions task = task_of(options);
  ProgressBar progress("validating");
  task.progress = [&progress](double share) { progress.show(share); };
  return to_json(validate_kernels(task));
}

Json collectives(const Options& options) { return to_json(validate_collectives(task_of(options))); }

// "local_experts 4.00 - 16.0".
std::string regime_text(const Json& regime) {
  const bool time = regime["variable"] == "measured_s";
  const auto edge = [&](const char* key) {
    const double value = regime[key];
    return time ? human_seconds(value) : human_count(value);
  };
  return (time ? "time" : regime["variable"].get<std::string>()) + " " + edge("from") + " - " +
         edge("to");
}

void print(const Json& document, const Options& options) {
  if (options.common.json) {
    std::cout << document.dump(1) << "\n";
    return;
  }
  std::vector<std::string> header{"group",       "rows",         "median",        "p90",
                                  "mean signed", "naive median", "inside p10-p90"};
  const auto interpolates = [](const Json& group) {
    return group["baseline"].contains("interpolation_n");
  };
  const bool interpolated = std::ranges::any_of(document["groups"], interpolates);
  if (interpolated) {
    header.insert(header.end(), {"interpolated median", "interpolated p90"});
  }
  if (options.task.regimes) {
    header.insert(header.end(), {"worst regime", "rows there", "median there"});
  }
  Table table(header);
  for (const Json& group : document["groups"]) {
    std::vector<std::string> cells{group["name"],
                                   group["n"].dump(),
                                   percent(group["median_ape"]),
                                   percent(group["p90_ape"]),
                                   percent(group["mean_signed_error"]),
                                   percent(group["baseline"]["naive_median_ape"]),
                                   percent(group["inside_p10_p90"])};
    if (interpolated) {
      for (const char* key : {"interpolation_median_ape", "interpolation_p90_ape"}) {
        const Json& value = group["baseline"][key];
        cells.push_back(value.is_null() ? "-" : percent(value));
      }
    }
    if (options.task.regimes && group.contains("worst_regime")) {
      const Json& regime = group["worst_regime"];
      cells.insert(cells.end(),
                   {regime_text(regime), regime["n"].dump(), percent(regime["median_ape"])});
    }
    table.row(std::move(cells));
  }
  std::cout << table.text();
  if (document.contains("models") && !document["models"].empty()) {
    Table models({"model's own widths", "group", "rows", "median", "p90", "mean signed"});
    for (const Json& row : document["models"]) {
      models.row({row["model"], row["group"], row["n"].dump(), percent(row["median_ape"]),
                  percent(row["p90_ape"]), percent(row["mean_signed_error"])});
    }
    std::cout << "\n" << models.text() << "\n";
  }
  std::int64_t judged = 0;
  std::int64_t erratic = 0;
  for (const Json& group : document["groups"]) {
    judged += group["n"].get<std::int64_t>();
    erratic += group.contains("erratic") ? group["erratic"]["n"].get<std::int64_t>() : 0;
  }
  std::cout << judged << " rows judged, " << erratic
            << " of them erratic (slower than any shape explains)\n";
  for (const Json& row : document["skipped"]) {
    std::cout << "skipped " << row["n"] << " rows: " << row["reason"].get<std::string>() << "\n";
  }
}

int draw(const Options& options) {
  if (options.png.empty()) {
    return 0;
  }
  return run_notebook_module("moesim_view.validation",
                             {options.points_file(), "--png", options.png}) == 0
             ? 0
             : 1;
}

}  // namespace

void add_validate_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("validate", "predictions against measurements");
  sub->require_subcommand(1);
  const auto add = [&](const char* name, const char* text,
                       Json (*run)(const Options&)) -> CLI::App* {
    CLI::App* kind = sub->add_subcommand(name, text);
    kind->add_option("dir", options->task.directory,
                     "folder of measured CSV files, searched downwards")
        ->required()
        ->type_name("DIR");
    kind->add_option("--points", options->task.points, "write one CSV line per judged row")
        ->type_name("FILE");
    kind->add_option("--png", options->png,
                     "folder for pictures (needs python3-matplotlib) and, "
                     "without --points, for "
                     "points.csv")
        ->type_name("DIR2");
    kind->add_flag("--regimes", options->task.regimes,
                   "per group, the range of sizes, experts per rank, ranks or "
                   "times with the "
                   "largest median error");
    kind->footer(
        "Errors are |predicted/measured - 1|; the naive baseline is "
        "the data sheet's roofline. 80 "
        "% of\n"
        "the rows should lie inside p10-p90. Rows that break a stated "
        "rule are skipped and "
        "counted.\n"
        "Example:\n  moesim validate " +
        std::string(name) + " measured/h100_sxm --regimes --png plots/");
    options->common.add_json(*kind);
    options->common.add_catalog(*kind);
    kind->callback([options, &command, run] {
      command.run = [options, run] {
        print(run(*options), *options);
        return draw(*options);
      };
    });
    return kind;
  };
  const auto can_leave_device_out = [options](CLI::App* kind) {
    kind->add_flag("--leave-device-out", options->task.leave_device_out,
                   "predict every device from the others, as if nobody had measured it");
  };
  can_leave_device_out(add("kernels", "kernel times (GEMM, MoE, attention, MLA)", kernels));
  can_leave_device_out(add("collectives", "collectives and all-to-all", collectives));
  add_validate_steps_command(*sub, command);
  add_validate_training_command(*sub, command);
  add_validate_host_command(*sub, command);
  sub->footer(
      "Errors are |predicted/measured - 1|; the naive baseline is the data "
      "sheet's roofline.\n"
      "A fit that knows its errors has 80 % of the rows inside p10-p90.\n"
      "Examples:\n"
      "  moesim validate kernels measured/h100_sxm --regimes\n"
      "  moesim validate kernels measured/h100_sxm --points points.csv --png "
      "plots/\n"
      "  moesim validate collectives measured/h100_sxm --png plots/ --json > "
      "result.json\n"
      "  moesim validate steps serving_points.csv");
}

}  // namespace moesim
