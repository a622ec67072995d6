// moesim catalog: what names a scenario may use.
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "placement/formats/formats.h"
#include "placement/rebalance/rebalance.h"
#include "placement/solver.h"
#include "sim/cli/command_line.h"
#include "sim/core/catalog.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/engine/exchange/all_to_all.h"
#include "sim/engine/schedule/schedule.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Options {
  CommonOptions common;
  std::string name;
};

struct Shelf {
  std::string name;
  std::vector<std::string> folders;
};

std::vector<std::string> below(const std::vector<std::string>& folders, const char* name) {
  std::vector<std::string> result;
  for (const std::string& folder : folders) {
    result.push_back((std::filesystem::path(folder) / name).string());
  }
  return result;
}

std::vector<Shelf> shelves(const CatalogFolders& folders) {
  return {{"clusters", below(folders.hardware, "clusters")},
          {"devices", below(folders.hardware, "devices")},
          {"links", below(folders.hardware, "links")},
          {"models", folders.models},
          {"kernel profiles", folders.kernel_profiles},
          {"communication profiles", folders.comm_profiles},
          {"routing profiles", folders.routing_profiles}};
}

template <class Entries>
Json summaries(const Entries& entries) {
  Json object = Json::object();
  for (const auto& entry : entries) {
    object[std::string(entry.name)] = entry.summary;
  }
  return object;
}

Json policies() {
  return {{"placement solvers", summaries(placement_solvers())},
          {"placement formats", summaries(placement_formats())},
          {"rebalancing policies", summaries(rebalance_policies())},
          {"all-to-all algorithms", summaries(all_to_all_algorithms())},
          {"overlap schedules", summaries(overlap_policies())}};
}

int list(const Options& options) {
  Json all = Json::object();
  for (const Shelf& shelf : shelves(catalog_folders(options.common.catalog))) {
    all[shelf.name] = catalog_names(shelf.folders);
  }
  all.update(policies());
  if (options.common.json) {
    std::cout << all.dump(2) << "\n";
    return 0;
  }
  for (const auto& shelf : all.items()) {
    std::cout << shelf.key() << "\n";
    for (const auto& item : shelf.value().items()) {
      std::cout << "  "
                << (shelf.value().is_array() ? item.value().get<std::string>()
                                             : item.key() + ": " + item.value().get<std::string>())
                << "\n";
    }
  }
  return 0;
}

int show(const Options& options) {
  std::vector<std::string> known;
  for (const Shelf& shelf : shelves(catalog_folders(options.common.catalog))) {
    const std::string path = find_in_catalog(options.name, shelf.folders);
    if (!path.empty()) {
      std::cout << read_json_file(path).dump(2) << "\n";
      return 0;
    }
    const auto names = catalog_names(shelf.folders);
    known.insert(known.end(), names.begin(), names.end());
  }
  throw ConfigError("catalog show " + options.name, "no such entry; there are: " + joined(known));
}

}  // namespace

void add_catalog_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("catalog", "hardware, models, profiles and policies");
  sub->require_subcommand(1);
  CLI::App* list_sub = sub->add_subcommand("list", "every name, by kind");
  options->common.add_json(*list_sub);
  options->common.add_catalog(*list_sub);
  list_sub->callback([options, &command] { command.run = [options] { return list(*options); }; });
  CLI::App* show_sub = sub->add_subcommand("show", "one entry, as JSON");
  show_sub->add_option("name", options->name, "catalog name")->required();
  options->common.add_catalog(*show_sub);
  show_sub->callback([options, &command] { command.run = [options] { return show(*options); }; });
  sub->footer("Examples:\n  moesim catalog list\n  moesim catalog show h800-8x-ib400");
}

}  // namespace moesim
