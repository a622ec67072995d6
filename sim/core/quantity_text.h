// "900 GB/s" <-> Bandwidth: text with a unit in, SI out. GB = 1e9 B, GiB = 2^30 B, bit = 1/8 B.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sim/core/units.h"

namespace moesim {

// nullopt unless the text is a finite decimal number, one space and a unit of the wanted
// dimension, and the value is still finite in SI. Instantiated for the aliases of units.h.
template <class Q>
std::optional<Q> parse_quantity(std::string_view text);

// Shortest text that parse_quantity maps back to the same value, in the SI unit ("5e+10 B/s").
template <class Q>
std::string format_quantity(Q value);

// Example of a well-formed text, for error messages ("400 Gbit/s").
template <class Q>
std::string_view quantity_example();

// Shortest text of a double that parses back to the same value.
std::string format_number(double value);

}  // namespace moesim
