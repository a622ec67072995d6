// moesim reproduce: published claims against the simulator.
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/reproduce.h"
#include "sim/cli/claims_table.h"
#include "sim/cli/command_line.h"
#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

namespace fs = std::filesystem;

struct Options {
  CommonOptions common;
  std::vector<std::string> ids;
  std::string claims;
  std::string scenarios;
};

// Shorter for people, where the working directory lies above.
std::string readable(const fs::path& path) {
  const fs::path near = fs::proximate(path);
  return near.begin() != near.end() && *near.begin() == ".." ? path.string() : near.string();
}

int reproduce_claims(const Options& options) {
  const fs::path shipped = fs::path(data_root()) / "sim" / "scenarios";
  std::vector<std::string> claim_folders{readable(shipped / "claims")};
  if (!options.scenarios.empty()) {
    if (!fs::is_directory(options.scenarios)) {
      throw ConfigError("--scenarios " + options.scenarios, "is not an existing folder");
    }
    claim_folders.push_back(options.scenarios);
  }
  ProgressBar bar("reproducing");
  const ReproduceResult result = reproduce(read_json_file(options.claims),
                                           {.claims = options.claims,
                                            .ids = options.ids,
                                            .claim_folders = claim_folders,
                                            .scenario_folders = {shipped.string()},
                                            .catalogs = catalogs_of(options.common),
                                            .threads = options.common.threads,
                                            .progress = [&bar](double share) { bar.show(share); }});
  const nlohmann::json document = to_json(result);
  std::cout << (options.common.json ? document.dump(2) + "\n" : claims_table(document));
  return 0;
}

}  // namespace

void add_reproduce_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("reproduce", "published claims against the simulator");
  sub->add_option("ids", options->ids, "claims of the file; default: all")->type_name("ID");
  sub->add_option("--claims", options->claims, "file of published claims")
      ->required()
      ->type_name("FILE");
  sub->add_option("--scenarios", options->scenarios,
                  "further folder of claims' scenarios, beside the shipped "
                  "sim/scenarios/claims")
      ->type_name("DIR");
  options->common.add_json(*sub);
  options->common.add_catalog(*sub);
  options->common.add_threads(*sub);
  sub->footer(
      "Examples:\n"
      "  moesim reproduce --claims claims.json\n"
      "  moesim reproduce moetuner-multi-17.5 exflow-2.2x --claims "
      "claims.json\n"
      "  moesim reproduce --claims claims.json --scenarios "
      "my_scenarios/ --json > verdicts.json\n"
      "A verdict is reproduced (within the claim's tolerance), partly "
      "(right direction, within\n"
      "twice the tolerance), not, or not_attempted (no scenario "
      "measures the claim). The rule, "
      "and\n"
      "how to write a claim's scenario: sim/reproduce/README.md.");
  sub->callback(
      [options, &command] { command.run = [options] { return reproduce_claims(*options); }; });
}

}  // namespace moesim
