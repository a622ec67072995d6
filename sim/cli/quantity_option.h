// Quantities on the command line: "44 MB", "200 GB/s".
#pragma once

#include <optional>
#include <string>

#include "sim/core/error.h"
#include "sim/core/quantity_text.h"

namespace moesim {

// None of an empty text. Throws ConfigError("--option text", ...).
template <class Q>
std::optional<Q> quantity_option(const std::string& option, const std::string& text) {
  if (text.empty()) {
    return std::nullopt;
  }
  const auto value = parse_quantity<Q>(text);
  if (!value || !(value->si() >= 0.0)) {
    throw ConfigError(option + " " + text, "is no such quantity; write it like \"" +
                                               std::string(quantity_example<Q>()) + "\"");
  }
  return *value;
}

}  // namespace moesim
