// What the formats share: checked reading of id arrays, and what a format cannot express.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "placement/formats/formats.h"

namespace moesim::detail {

using IdRows = std::vector<std::vector<std::int32_t>>;

inline constexpr int k_most_ids = 1 << 16;  // experts, devices: beyond any model or cluster

// The member `key` of an object. Throws ConfigError(where + "/key", "missing; " + what).
const nlohmann::json& member(const nlohmann::json& object, const std::string& key,
                             const std::string& where, const std::string& what);
int integer_of(const nlohmann::json& value, const std::string& where, int min, int max);
const nlohmann::json& array_of(const nlohmann::json& value, const std::string& where);
std::vector<std::int32_t> id_row(const nlohmann::json& value, const std::string& where, int min);
// [layer][slot]: at least one layer, all equally long.
IdRows id_rows(const nlohmann::json& value, const std::string& where, int min);

// A placement whose devices share the slots equally; `where` names the rows, `origin` (the file) is
// blamed for a missing number of devices.
ExpertPlacement even_placement(IdRows rows, int devices, const std::string& where);
// Throws unless every layer has every expert; placement.experts, if 0, becomes the largest id + 1.
void check_complete(ExpertPlacement& placement, const std::string& where);

// Slots per device. Throws ConfigError(format, ...) unless all have the same and none is empty.
int equal_full_slots(const ExpertPlacement& placement, std::string_view format);
void no_empty_slots(const ExpertPlacement& placement, std::string_view format);
// options.layers, or those from first_layer on; checked against the placement.
std::vector<int> layer_numbers(const ExpertPlacement& placement, const FormatOptions& options,
                               std::string_view format);

// "[1, 2, 3]", and "[\n  [1, 2],\n  [3, 4]\n]" at an indentation.
std::string row_text(const std::vector<std::int32_t>& row);
std::string rows_text(const IdRows& rows, std::string_view indent);

}  // namespace moesim::detail

namespace moesim::formats {

// One source file each: is it this format, read it, write it.
bool is_moesim(const PlacementDocument& document);
PlacementFile read_moesim(const PlacementDocument& document, const FormatOptions& options);
std::string write_moesim(const ExpertPlacement& placement, const FormatOptions& options);

bool is_place_result(const PlacementDocument& document);
PlacementFile read_place_result(const PlacementDocument& document, const FormatOptions& options);

bool is_sglang(const PlacementDocument& document);
PlacementFile read_sglang(const PlacementDocument& document, const FormatOptions& options);
std::string write_sglang(const ExpertPlacement& placement, const FormatOptions& options);

bool is_trtllm(const PlacementDocument& document);
PlacementFile read_trtllm(const PlacementDocument& document, const FormatOptions& options);
std::string write_trtllm(const ExpertPlacement& placement, const FormatOptions& options);

bool is_vllm_ascend(const PlacementDocument& document);
PlacementFile read_vllm_ascend(const PlacementDocument& document, const FormatOptions& options);
std::string write_vllm_ascend(const ExpertPlacement& placement, const FormatOptions& options);

bool is_eplb(const PlacementDocument& document);
PlacementFile read_eplb(const PlacementDocument& document, const FormatOptions& options);
std::string write_eplb(const ExpertPlacement& placement, const FormatOptions& options);

}  // namespace moesim::formats
