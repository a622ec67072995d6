// The two ways to fail: the user's input is wrong, or the program is.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace moesim {

// Wrong input. `where` is "file.json#/json/pointer" (or "file:line:column"), `what_is_wrong`
// says what is wrong and what would be right. The command line exits with 2.
class ConfigError : public std::runtime_error {
 public:
  ConfigError(std::string_view where, std::string_view what_is_wrong);
  [[nodiscard]] const std::string& where() const { return where_; }

 private:
  std::string where_;
};

// A broken invariant: a defect of moesim. The command line exits with 3.
class InvariantError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// Checked in every build type. Throws InvariantError.
inline void ensure(bool condition, const char* invariant) {
  if (!condition) {
    throw InvariantError(invariant);
  }
}

// "a, b, c" for messages that list what is allowed.
template <class Range>
std::string joined(const Range& names) {
  std::string text;
  for (const auto& name : names) {
    if (!text.empty()) {
      text += ", ";
    }
    text += name;
  }
  return text;
}

}  // namespace moesim
