// moesim catalog: what names a scenario may use.
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/catalog.h"
#include "sim/cli/command_line.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Options {
  CommonOptions common;
  std::string name;
};

int list(const Options& options) {
  const Json all = to_json(list_catalog(catalogs_of(options.common)));
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
  std::cout << catalog_entry(options.name, catalogs_of(options.common)).dump(2) << "\n";
  return 0;
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
