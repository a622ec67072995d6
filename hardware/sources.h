// Provenance of hardware descriptions: every number of a document names where it comes from.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/config.h"

namespace moesim {

// The date of a value that a scenario sets over a catalogued one.
inline constexpr std::string_view k_set_by_scenario = "run";

// What a number may rest on. A data sheet is what the maker, a standard or a machine's owner
// publishes; a platform file what a toolkit, a driver or a project's table says of the device;
// measured is measured on this very product. All else is an assumption.
inline constexpr std::string_view k_scenario_kind = "scenario";
inline constexpr std::array<std::string_view, 5> k_source_kinds{
    "data sheet", "platform file", "measured", "assumption", k_scenario_kind};
// Where a document says none, as those of before did not.
inline constexpr std::string_view k_unsaid_kind = "assumption";

// JSON pointers of all numbers (and quantities written as text) of a document, in document order,
// without /sources and without what lies below one of `left_out`.
std::vector<std::string> numeric_fields(const nlohmann::json& document,
                                        std::span<const std::string_view> left_out);

// Is `pointer` the field or one of its ancestors? "" is the whole document.
bool covers(std::string_view pointer, std::string_view field);

// Reads "sources": [{"fields": [JSON pointers], "kind": one of k_source_kinds, "source": text,
// "date": "YYYY[-MM[-DD]]"}]. The first entry that covers a field is its source. To be called last:
// throws ConfigError for a key that nothing has read, for a number without a source (those below
// `left_out` excepted: parts that bring their own sources, and choices that are not facts), for a
// kind that is none, and for a pointer that covers no number. Without a kind it is k_unsaid_kind;
// shipped documents say theirs.
void read_sources(ConfigObject& document, std::span<const std::string_view> left_out = {});

}  // namespace moesim
