#include "sim/core/error.h"

namespace moesim {
namespace {

// Input is quoted in messages; what terminals obey, or what would end the text, is shown as \x1b.
std::string without_controls(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      shown += c;
    } else {
      shown += "\\x";
      shown += digits[byte / 16];
      shown += digits[byte % 16];
    }
  }
  return shown;
}

}  // namespace

ConfigError::ConfigError(std::string_view where, std::string_view what_is_wrong)
    : std::runtime_error(without_controls(where) + ": " + without_controls(what_is_wrong)),
      where_(where) {}

}  // namespace moesim
