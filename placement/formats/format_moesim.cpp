// moesim's own placement file: everything an ExpertPlacement holds.
//
//   {"schema": "moesim-placement/1", "experts": E, "devices": G, "first_slot": [G + 1 numbers],
//    "slot_expert": [[expert or -1 per slot] per layer], "model_layers": [...], "meta": anything}
#include <nlohmann/json.hpp>

#include "placement/formats/format_parts.h"
#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim::formats {
namespace {

using Json = nlohmann::json;
constexpr std::string_view k_schema = "moesim-placement/1";

void check_first_slots(const ExpertPlacement& placement, const std::string& where) {
  if (placement.first_slot.size() != static_cast<std::size_t>(placement.devices) + 1) {
    throw ConfigError(where, std::to_string(placement.first_slot.size()) + " entries for " +
                                 std::to_string(placement.devices) +
                                 " GPUs; give the first slot of each, then the number of slots");
  }
  for (std::size_t g = 0; g < placement.first_slot.size(); ++g) {
    if (g == 0 ? placement.first_slot[0] != 0
               : placement.first_slot[g] < placement.first_slot[g - 1]) {
      throw ConfigError(where + "/" + std::to_string(g),
                        "slots are numbered from 0 through the GPUs and never decrease");
    }
  }
}

}  // namespace

bool is_moesim(const PlacementDocument& document) {
  if (document.json == nullptr || !document.json->is_object()) {
    return false;
  }
  const auto schema = document.json->find("schema");
  return document.json->contains("slot_expert") ||
         (schema != document.json->end() && schema->is_string() &&
          schema->get<std::string>().starts_with("moesim-placement"));
}

PlacementFile read_moesim(const PlacementDocument& document, const FormatOptions& /*options*/) {
  const std::string root = document.name + "#";
  ConfigObject object(*document.json, root);
  if (const std::string schema = object.text("schema"); schema != k_schema) {
    object.fail("schema",
                "\"" + schema + "\"; this version reads \"" + std::string(k_schema) + "\"");
  }
  PlacementFile file;
  file.placement.experts = static_cast<int>(object.integer("experts", 1, detail::k_most_ids));
  file.placement.devices = static_cast<int>(object.integer("devices", 1, detail::k_most_ids));
  for (const std::int64_t slot : object.integers("first_slot", 0, 1 << 30)) {
    file.placement.first_slot.push_back(static_cast<int>(slot));
  }
  check_first_slots(file.placement, object.where("first_slot"));
  const Json* slots = object.raw("slot_expert");
  if (slots == nullptr) {
    object.fail("slot_expert", "missing; it is the expert (or -1) of every [layer][slot]");
  }
  const std::string where = object.where("slot_expert");
  file.placement.slot_expert = detail::id_rows(*slots, where, -1);
  if (file.placement.slot_expert.front().size() !=
      static_cast<std::size_t>(file.placement.slots())) {
    throw ConfigError(where, std::to_string(file.placement.slot_expert.front().size()) +
                                 " slots per layer, but first_slot ends at " +
                                 std::to_string(file.placement.slots()));
  }
  detail::check_complete(file.placement, where);
  if (object.has("model_layers")) {
    for (const std::int64_t layer : object.integers("model_layers", 0, detail::k_most_ids)) {
      file.layers.push_back(static_cast<int>(layer));
    }
    if (file.layers.size() != file.placement.slot_expert.size()) {
      object.fail("model_layers", "give one per layer of slot_expert");
    }
  }
  object.raw("meta");
  object.reject_unknown_keys();
  return file;
}

std::string write_moesim(const ExpertPlacement& placement, const FormatOptions& options) {
  std::string text = "{\n  \"schema\": \"" + std::string(k_schema) +
                     "\",\n  \"experts\": " + std::to_string(placement.experts) +
                     ",\n  \"devices\": " + std::to_string(placement.devices) +
                     ",\n  \"first_slot\": " + detail::row_text(placement.first_slot);
  if (options.first_layer > 0 || !options.layers.empty()) {
    text += ",\n  \"model_layers\": " +
            detail::row_text(detail::layer_numbers(placement, options, "moesim"));
  }
  return text + ",\n  \"slot_expert\": " + detail::rows_text(placement.slot_expert, "  ") + "\n}\n";
}

}  // namespace moesim::formats
