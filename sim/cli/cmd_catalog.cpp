// moesim catalog: what names a scenario may use.
#include <array>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/catalog.h"
#include "sim/app/model_sheet.h"
#include "sim/cli/command_line.h"
#include "sim/core/config.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Options {
  CommonOptions common;
  std::vector<std::string> words;  // kind, if given, and name
};

std::string sized(double bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), bytes < 1e9 ? "%.1f MB" : "%.1f GB",
                bytes / (bytes < 1e9 ? 1e6 : 1e9));
  return text.data();
}

std::string billions(double count) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3fe9", count / 1e9);
  return text.data();
}

void print(const ModelSheet& sheet) {
  std::cout << sheet.name << ": " << billions(sheet.total_parameters) << " parameters, "
            << billions(sheet.active_parameters) << " active ("
            << billions(sheet.active_parameters_without_embedding) << " without the input table)\n";
  std::cout << sheet.layers << " blocks, hidden " << sheet.hidden << ", vocabulary "
            << sheet.vocabulary << "\n";
  for (const LayerKind& kind : sheet.kinds) {
    std::cout << "  " << kind.count << " x " << kind.attention
              << (kind.ffn.empty() ? "" : " | " + kind.ffn) << "\n";
  }
  std::cout << "parameters\n";
  for (const auto& [component, count] : sheet.parameters) {
    if (count > 0) {
      std::cout << "  " << component << ": " << billions(count) << "\n";
    }
  }
  std::cout << "weights\n";
  for (const WeightSize& size : sheet.weights) {
    std::cout << "  " << size.precision << ": " << sized(size.bytes) << "\n";
  }
  if (!sheet.checkpoint.empty()) {
    std::cout << "  (" << sheet.checkpoint << ")\n";
  }
  std::cout << "KV cache, bf16\n  " << sheet.kv_bytes_per_token << " B per token ("
            << sheet.kv_bytes_per_far_token << " beyond every window)\n";
  for (const auto& [context, bytes] : sheet.kv_bytes_per_sequence) {
    std::cout << "  " << context << " tokens: " << sized(bytes + sheet.state_bytes_per_sequence)
              << "\n";
  }
  if (sheet.state_bytes_per_sequence > 0) {
    std::cout << "  of which " << sized(sheet.state_bytes_per_sequence) << " whatever the length\n";
  }
  std::cout << "fits (one sequence, a tenth for the step, 90 % of memory)\n";
  for (const Fit& fit : sheet.fits) {
    std::cout << "  " << fit.device << ", " << fit.precision << ", " << fit.context << " tokens: "
              << (fit.devices > 0 ? std::to_string(fit.devices) + " (" + fit.parallelism + ")"
                                  : std::string("not on 1024"))
              << "\n";
  }
  for (const std::string& note : sheet.notes) {
    std::cout << "note: " << note << "\n";
  }
}

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
  const CatalogFolders folders = catalogs_of(options.common);
  const std::string& name = options.words.back();
  const CatalogPlace place =
      find_catalog_entry(options.words.size() > 1 ? options.words.front() : "", name, folders);
  if (place.kind != "models") {
    std::cout << read_json_file(place.path).dump(2) << "\n";
    return 0;
  }
  const ModelSheet sheet = model_sheet(name, folders);
  if (options.common.json) {
    std::cout << to_json(sheet).dump(2) << "\n";
  } else {
    print(sheet);
  }
  return 0;
}

int table(const Options& options) {
  std::cout << models_table(catalogs_of(options.common));
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
  CLI::App* show_sub = sub->add_subcommand(
      "show", "one entry: of a model, its sizes and where it fits; else the document, as JSON");
  show_sub
      ->add_option("entry", options->words,
                   "the kind, where a name stands on several shelves, and the name, or a file")
      ->required()
      ->expected(1, 2);
  options->common.add_json(*show_sub);
  options->common.add_catalog(*show_sub);
  show_sub->callback([options, &command] { command.run = [options] { return show(*options); }; });
  CLI::App* table_sub =
      sub->add_subcommand("models", "sizes of all models, as the table of models/README.md");
  options->common.add_catalog(*table_sub);
  table_sub->callback([options, &command] { command.run = [options] { return table(*options); }; });
  sub->footer(
      "Examples:\n  moesim catalog list\n  moesim catalog show h800-8x-ib400\n"
      "  moesim catalog show model config.json --json");
}

}  // namespace moesim
