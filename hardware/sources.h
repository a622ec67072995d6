// Provenance of hardware descriptions: every number of a document names where it comes from.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/config.h"

namespace moesim {

// The date of a value that a scenario sets over a catalogued one.
inline constexpr std::string_view k_set_by_scenario = "run";

// JSON pointers of all numbers (and quantities written as text) of a document, in document order,
// without /sources and without what lies below one of `left_out`.
std::vector<std::string> numeric_fields(const nlohmann::json& document,
                                        std::span<const std::string_view> left_out);

// Is `pointer` the field or one of its ancestors? "" is the whole document.
bool covers(std::string_view pointer, std::string_view field);

// Reads "sources": [{"fields": [JSON pointers], "source": text, "date": "YYYY[-MM[-DD]]"}]. The
// first entry that covers a field is its source. To be called last: throws ConfigError for a key
// that nothing has read, for a number without a source (those below `left_out` excepted: parts that
// bring their own sources, and choices that are not facts) and for a pointer that covers no number.
void read_sources(ConfigObject& document, std::span<const std::string_view> left_out = {});

}  // namespace moesim
