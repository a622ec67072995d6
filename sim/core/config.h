// Strict reader of JSON configuration: every message names file and JSON pointer, unknown keys are
// errors, and the effective document (all defaults filled in) is built while reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/dtype.h"
#include "sim/core/units.h"

namespace moesim {

class KeyRecord;

// Parses text strictly: no comments, no duplicate keys, nothing after the document. Throws
// ConfigError("name:line:column", ...).
nlohmann::json parse_json(std::string_view text, std::string_view name);

// Reads and parses a file. Throws ConfigError naming the path when it cannot be read.
nlohmann::json read_json_file(const std::string& path);
std::string read_text_file(const std::string& path);

// Applies "/json/pointer=value" (value: JSON, or else a plain string). Missing objects on the way
// are created; array indices must exist. Throws ConfigError("--set ...", ...).
void apply_override(nlohmann::json& document, std::string_view assignment);

inline constexpr std::int64_t k_no_limit = std::numeric_limits<std::int64_t>::max();

// A view of one JSON object. Cheap to copy; the document must outlive it. All readers throw
// ConfigError("file.json#/pointer", ...).
class ConfigObject {
 public:
  // `where` is "file.json#" for a root. `effective`, if given, becomes an object that repeats every
  // key read, defaults included. `record`, if given, learns every key that is there and read. Both
  // go on to the objects inside, and must outlive them all.
  ConfigObject(const nlohmann::json& value, std::string where, nlohmann::json* effective = nullptr,
               KeyRecord* record = nullptr);

  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] const nlohmann::json& json() const { return *value_; }
  [[nodiscard]] std::string where(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] std::vector<std::string> keys() const;
  [[noreturn]] void fail(std::string_view key, std::string_view what_is_wrong) const;

  // Q: one of the quantities of units.h, written as text with a unit. Strictly positive.
  template <class Q>
  Q positive(std::string_view key);
  template <class Q>
  Q positive(std::string_view key, Q default_value);
  // Same, zero allowed.
  template <class Q>
  Q non_negative(std::string_view key);
  template <class Q>
  Q non_negative(std::string_view key, Q default_value);

  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max = k_no_limit);
  std::int64_t integer_or(std::string_view key, std::int64_t default_value, std::int64_t min,
                          std::int64_t max = k_no_limit);
  // A finite number in [min, max].
  double number(std::string_view key, double min, double max);
  double number_or(std::string_view key, double default_value, double min, double max);
  bool boolean_or(std::string_view key, bool default_value);
  std::string text(std::string_view key);
  std::string text_or(std::string_view key, std::string_view default_value);
  // Text that must be one of `allowed`.
  std::string choice(std::string_view key, std::span<const std::string_view> allowed);
  std::string choice_or(std::string_view key, std::string_view default_value,
                        std::span<const std::string_view> allowed);
  DType dtype(std::string_view key);
  DType dtype_or(std::string_view key, DType default_value);
  std::vector<double> numbers(std::string_view key, double min, double max);
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t min, std::int64_t max);
  std::vector<std::string> texts(std::string_view key);

  ConfigObject object(std::string_view key);
  std::optional<ConfigObject> object_if(std::string_view key);
  // The elements of an array of objects. An absent key gives none.
  std::vector<ConfigObject> objects(std::string_view key);

  // A key whose value the caller interprets itself (names or inline objects); nullptr if absent.
  const nlohmann::json* raw(std::string_view key);
  // Overwrites what the effective document says of a key.
  void set_effective(std::string_view key, nlohmann::json value);

  // To be called last: throws for the first key that nothing has read, with the keys that are
  // known.
  void reject_unknown_keys() const;

 private:
  [[nodiscard]] std::string where_of(std::string_view key, std::size_t element) const;
  const nlohmann::json* find(std::string_view key);
  const nlohmann::json& need(std::string_view key, std::string_view kind);
  void echo(std::string_view key, nlohmann::json value);
  nlohmann::json* effective_child(std::string_view key);
  template <class Q>
  Q checked_quantity(std::string_view key, const nlohmann::json& value, bool zero_allowed) const;

  const nlohmann::json* value_;
  std::string where_;
  nlohmann::json* effective_;
  KeyRecord* record_;
  std::vector<std::string> read_;
};

}  // namespace moesim
