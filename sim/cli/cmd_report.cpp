// moesim report: pictures of results, drawn by the Python package in notebooks/.
#include "sim/cli/command_line.h"
#include "sim/core/config.h"
#include "sim/core/error.h"

#include <filesystem>
#include <nlohmann/json.hpp>

namespace moesim {
namespace {

struct Options {
  std::vector<std::string> results;
  std::string png;
};

int report(const Options& options) {
  for (const std::string& result : options.results) {
    const nlohmann::json document = read_json_file(result);
    if (!document.is_object() || document.value("schema", "") != "moesim.report/1") {
      throw ConfigError(result, "is no report; make one with: moesim simulate SCENARIO --json");
    }
  }
  std::vector<std::string> words{"/usr/bin/python3", "-m", "moesim_view"};
  words.insert(words.end(), options.results.begin(), options.results.end());
  words.insert(words.end(), {"--png", options.png});
  const auto package = std::filesystem::path(data_root()) / "notebooks";
  return run_program(std::move(words), {"PYTHONPATH=" + package.string()}) == 0 ? 0 : 1;
}

}  // namespace

void add_report_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("report", "pictures of results (needs python3-matplotlib)");
  sub->add_option("results", options->results, "reports of moesim simulate --json")
      ->required()
      ->type_name("RESULT");
  sub->add_option("--png", options->png, "folder for the pictures")->required()->type_name("DIR");
  sub->footer("Example:\n  moesim report contiguous.json round_robin.json --png plots/");
  sub->callback([options, &command] { command.run = [options] { return report(*options); }; });
}

}  // namespace moesim
