#include "placement/formats/format_parts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim::detail {

using Json = nlohmann::json;

namespace {

std::string below(const std::string& where, std::size_t i) {
  return where + "/" + std::to_string(i);
}

}  // namespace

const Json& member(const Json& object, const std::string& key, const std::string& where,
                   const std::string& what) {
  if (!object.is_object()) {
    throw ConfigError(where, "not an object; it has \"" + key + "\": " + what);
  }
  const auto found = object.find(key);
  if (found == object.end()) {
    throw ConfigError(where + "/" + key, "missing; it is " + what);
  }
  return *found;
}

int integer_of(const Json& value, const std::string& where, int min, int max) {
  if (!value.is_number_integer()) {
    throw ConfigError(where, "not a whole number");
  }
  const auto number = value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX
                          ? INT64_MAX
                          : value.get<std::int64_t>();
  if (number < min || number > max) {
    throw ConfigError(where, std::to_string(number) + " lies outside " + std::to_string(min) +
                                 " to " + std::to_string(max));
  }
  return static_cast<int>(number);
}

const Json& array_of(const Json& value, const std::string& where) {
  if (!value.is_array()) {
    throw ConfigError(where, "not an array");
  }
  return value;
}

std::vector<std::int32_t> id_row(const Json& value, const std::string& where, int min) {
  std::vector<std::int32_t> row;
  for (const Json& id : array_of(value, where)) {
    row.push_back(integer_of(id, below(where, row.size()), min, k_most_ids - 1));
  }
  return row;
}

IdRows id_rows(const Json& value, const std::string& where, int min) {
  IdRows rows;
  for (const Json& row : array_of(value, where)) {
    rows.push_back(id_row(row, below(where, rows.size()), min));
    if (rows.back().size() != rows.front().size()) {
      throw ConfigError(below(where, rows.size() - 1), std::to_string(rows.back().size()) +
                                                           " entries, but layer 0 has " +
                                                           std::to_string(rows.front().size()) +
                                                           "; every layer has the same slots");
    }
  }
  if (rows.empty()) {
    throw ConfigError(where, "no layers; give [layer][slot]");
  }
  return rows;
}

ExpertPlacement even_placement(IdRows rows, int devices, const std::string& where) {
  const std::size_t slots = rows.front().size();
  if (devices < 1) {
    throw ConfigError(where, "this format does not say how many GPUs share its " +
                                 std::to_string(slots) + " slots; give the number (--devices)");
  }
  if (slots % at(devices) != 0) {
    throw ConfigError(where, std::to_string(slots) + " slots are not shared equally by " +
                                 std::to_string(devices) +
                                 " GPUs; give a number that divides them");
  }
  ExpertPlacement placement;
  placement.devices = devices;
  for (int g = 0; g <= devices; ++g) {
    placement.first_slot.push_back(g * (static_cast<int>(slots) / devices));
  }
  placement.slot_expert = std::move(rows);
  return placement;
}

void check_complete(ExpertPlacement& placement, const std::string& where) {
  int experts = placement.experts;
  for (const auto& row : placement.slot_expert) {
    for (const std::int32_t e : row) {
      experts = placement.experts > 0 ? experts : std::max(experts, e + 1);
    }
  }
  if (experts == 0) {
    throw ConfigError(where, "no expert in any slot; a placement holds at least one");
  }
  for (std::size_t l = 0; l < placement.slot_expert.size(); ++l) {
    std::vector<bool> held(at(experts), false);
    const auto& row = placement.slot_expert[l];
    for (std::size_t s = 0; s < row.size(); ++s) {
      if (row[s] >= experts) {
        throw ConfigError(below(below(where, l), s), "expert " + std::to_string(row[s]) +
                                                         " does not exist; there are " +
                                                         std::to_string(experts));
      }
      if (row[s] >= 0) {
        held[at(row[s])] = true;
      }
    }
    const auto missing = std::ranges::find(held, false);
    if (missing != held.end()) {
      throw ConfigError(below(where, l), "expert " + std::to_string(missing - held.begin()) +
                                             " of " + std::to_string(experts) +
                                             " has no slot; every layer holds every expert");
    }
  }
  placement.experts = experts;
}

void no_empty_slots(const ExpertPlacement& placement, std::string_view format) {
  for (std::size_t l = 0; l < placement.slot_expert.size(); ++l) {
    for (int g = 0; g < placement.devices; ++g) {
      for (int s = placement.first_slot[at(g)]; s < placement.first_slot[at(g) + 1]; ++s) {
        if (placement.slot_expert[l][at(s)] < 0) {
          throw ConfigError(format, "has no empty slots, but GPU " + std::to_string(g) +
                                        " has one in layer " + std::to_string(l) +
                                        "; place as many replicas as there are slots, or write "
                                        "the format moesim");
        }
      }
    }
  }
}

int equal_full_slots(const ExpertPlacement& placement, std::string_view format) {
  const int slots = placement.devices > 0 ? placement.slots() / placement.devices : 0;
  for (int g = 0; g < placement.devices; ++g) {
    const int here = placement.first_slot[at(g) + 1] - placement.first_slot[at(g)];
    if (here != placement.first_slot[1]) {
      throw ConfigError(format, "has equally many slots on every GPU, but GPU 0 has " +
                                    std::to_string(placement.first_slot[1]) + " and GPU " +
                                    std::to_string(g) + " has " + std::to_string(here) +
                                    "; give every GPU the same capacity, or write the format "
                                    "moesim");
    }
  }
  no_empty_slots(placement, format);
  return slots;
}

std::vector<int> layer_numbers(const ExpertPlacement& placement, const FormatOptions& options,
                               std::string_view format) {
  if (options.layers.empty()) {
    return consecutive_layers(options.first_layer, static_cast<int>(placement.slot_expert.size()));
  }
  if (options.layers.size() != placement.slot_expert.size()) {
    throw ConfigError(format, std::to_string(options.layers.size()) +
                                  " numbers of model layers for a placement of " +
                                  std::to_string(placement.slot_expert.size()) +
                                  " layers; give one each");
  }
  return options.layers;
}

std::string row_text(const std::vector<std::int32_t>& row) {
  std::string text = "[";
  for (std::size_t i = 0; i < row.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(row[i]);
  }
  return text + "]";
}

std::string rows_text(const IdRows& rows, std::string_view indent) {
  std::string text = "[\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    text += std::string(indent) + "  " + row_text(rows[i]) + (i + 1 < rows.size() ? ",\n" : "\n");
  }
  return text + std::string(indent) + "]";
}

}  // namespace moesim::detail
