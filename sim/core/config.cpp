#include "sim/core/config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/core/key_record.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// Keys may hold '/' and '~', which a JSON pointer escapes.
std::string escaped(std::string_view key) {
  std::string text;
  for (const char c : key) {
    if (c == '~') {
      text += "~0";
    } else if (c == '/') {
      text += "~1";
    } else {
      text += c;
    }
  }
  return text;
}

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  constexpr std::size_t longest = 60;
  if (text.size() <= longest) {
    return text;
  }
  std::size_t cut = longest;
  while ((static_cast<unsigned char>(text[cut]) & 0xc0U) == 0x80U) {
    --cut;  // not within a UTF-8 character
  }
  return text.substr(0, cut) + "...";
}

std::int64_t checked_integer(const std::string& where, const Json& value, std::int64_t min,
                             std::int64_t max) {
  const std::string range = max == k_no_limit ? std::to_string(min) + " or more"
                                              : std::to_string(min) + " to " + std::to_string(max);
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() &&
       value.get<std::uint64_t>() > static_cast<std::uint64_t>(k_no_limit))) {
    throw ConfigError(where, shown(value) + " is not a whole number (" + range + ")");
  }
  const auto number = value.get<std::int64_t>();
  if (number < min || number > max) {
    throw ConfigError(where, shown(value) + " is out of range; allowed: " + range);
  }
  return number;
}

double checked_number(const std::string& where, const Json& value, double min, double max) {
  if (!value.is_number()) {
    throw ConfigError(where, shown(value) + " is not a number");
  }
  const auto number = value.get<double>();
  if (!std::isfinite(number) || number < min || number > max) {
    throw ConfigError(where, shown(value) + " is out of range; allowed: " + format_number(min) +
                                 (std::isfinite(max) ? " to " + format_number(max) : " or more"));
  }
  return number;
}

std::string checked_text(const std::string& where, const Json& value) {
  if (!value.is_string()) {
    throw ConfigError(where, shown(value) + " is not a text \"...\"");
  }
  return value.get<std::string>();
}

const Json& checked_array(const std::string& where, const Json& value, const std::string& of_what) {
  if (!value.is_array()) {
    throw ConfigError(where, shown(value) + " is not an array [...] of " + of_what);
  }
  return value;
}

}  // namespace

ConfigObject::ConfigObject(const Json& value, std::string where, Json* effective, KeyRecord* record)
    : value_(&value), where_(std::move(where)), effective_(effective), record_(record) {
  if (!value.is_object()) {
    throw ConfigError(where_, "is " + shown(value) + "; an object {...} is needed");
  }
  if (effective_ != nullptr && !effective_->is_object()) {
    *effective_ = Json::object();
  }
}

std::string ConfigObject::where(std::string_view key) const { return where_ + "/" + escaped(key); }

std::string ConfigObject::where_of(std::string_view key, std::size_t element) const {
  return where(key) + "/" + std::to_string(element);
}

bool ConfigObject::has(std::string_view key) const { return value_->contains(key); }

std::vector<std::string> ConfigObject::keys() const {
  std::vector<std::string> names;
  for (const auto& item : value_->items()) {
    names.push_back(item.key());
  }
  return names;
}

void ConfigObject::fail(std::string_view key, std::string_view what_is_wrong) const {
  throw ConfigError(where(key), what_is_wrong);
}

const Json* ConfigObject::find(std::string_view key) {
  read_.emplace_back(key);
  const auto found = value_->find(key);
  if (found == value_->end()) {
    return nullptr;
  }
  if (record_ != nullptr) {
    record_->given(where(key));
  }
  return &*found;
}

const Json& ConfigObject::need(std::string_view key, std::string_view kind) {
  const Json* value = find(key);
  if (value == nullptr) {
    fail(key, "is missing; " + std::string(kind) + " is needed");
  }
  return *value;
}

void ConfigObject::echo(std::string_view key, Json value) {
  if (effective_ != nullptr) {
    (*effective_)[std::string(key)] = std::move(value);
  }
}

Json* ConfigObject::effective_child(std::string_view key) {
  return effective_ == nullptr ? nullptr : &(*effective_)[std::string(key)];
}

void ConfigObject::set_effective(std::string_view key, Json value) { echo(key, std::move(value)); }

template <class Q>
Q ConfigObject::checked_quantity(std::string_view key, const Json& value, bool zero_allowed) const {
  const auto parsed =
      value.is_string() ? parse_quantity<Q>(value.get_ref<const std::string&>()) : std::nullopt;
  if (!parsed) {
    fail(key, shown(value) + " is not a quantity such as \"" + std::string(quantity_example<Q>()) +
                  "\"");
  }
  if (parsed->si() < 0 || (parsed->si() == 0 && !zero_allowed)) {
    fail(key, shown(value) + " must be " + (zero_allowed ? "zero or more" : "more than zero"));
  }
  return *parsed;
}

template <class Q>
Q ConfigObject::positive(std::string_view key) {
  const Q value = checked_quantity<Q>(
      key, need(key, "a quantity such as \"" + std::string(quantity_example<Q>()) + "\""), false);
  echo(key, format_quantity(value));
  return value;
}

template <class Q>
Q ConfigObject::positive(std::string_view key, Q default_value) {
  const Json* found = find(key);
  const Q value = found == nullptr ? default_value : checked_quantity<Q>(key, *found, false);
  echo(key, format_quantity(value));
  return value;
}

template <class Q>
Q ConfigObject::non_negative(std::string_view key) {
  const Q value = checked_quantity<Q>(
      key, need(key, "a quantity such as \"" + std::string(quantity_example<Q>()) + "\""), true);
  echo(key, format_quantity(value));
  return value;
}

template <class Q>
Q ConfigObject::non_negative(std::string_view key, Q default_value) {
  const Json* found = find(key);
  const Q value = found == nullptr ? default_value : checked_quantity<Q>(key, *found, true);
  echo(key, format_quantity(value));
  return value;
}

#define MOESIM_QUANTITY(Q)                                    \
  template Q ConfigObject::positive<Q>(std::string_view);     \
  template Q ConfigObject::positive<Q>(std::string_view, Q);  \
  template Q ConfigObject::non_negative<Q>(std::string_view); \
  template Q ConfigObject::non_negative<Q>(std::string_view, Q);
MOESIM_QUANTITY(Seconds)
MOESIM_QUANTITY(Bytes)
MOESIM_QUANTITY(Flops)
MOESIM_QUANTITY(Bandwidth)
MOESIM_QUANTITY(FlopRate)
MOESIM_QUANTITY(Joules)
MOESIM_QUANTITY(Power)
MOESIM_QUANTITY(Dollars)
MOESIM_QUANTITY(PriceRate)
#undef MOESIM_QUANTITY

std::int64_t ConfigObject::integer(std::string_view key, std::int64_t min, std::int64_t max) {
  const auto value = checked_integer(where(key), need(key, "a whole number"), min, max);
  echo(key, value);
  return value;
}

std::int64_t ConfigObject::integer_or(std::string_view key, std::int64_t default_value,
                                      std::int64_t min, std::int64_t max) {
  const Json* found = find(key);
  const auto value =
      found == nullptr ? default_value : checked_integer(where(key), *found, min, max);
  echo(key, value);
  return value;
}

double ConfigObject::number(std::string_view key, double min, double max) {
  const double value = checked_number(where(key), need(key, "a number"), min, max);
  echo(key, value);
  return value;
}

double ConfigObject::number_or(std::string_view key, double default_value, double min, double max) {
  const Json* found = find(key);
  const double value =
      found == nullptr ? default_value : checked_number(where(key), *found, min, max);
  echo(key, value);
  return value;
}

bool ConfigObject::boolean_or(std::string_view key, bool default_value) {
  const Json* found = find(key);
  if (found != nullptr && !found->is_boolean()) {
    fail(key, shown(*found) + " is not true or false");
  }
  const bool value = found == nullptr ? default_value : found->get<bool>();
  echo(key, value);
  return value;
}

std::string ConfigObject::text(std::string_view key) {
  std::string value = checked_text(where(key), need(key, "a text"));
  echo(key, value);
  return value;
}

std::string ConfigObject::text_or(std::string_view key, std::string_view default_value) {
  if (has(key)) {
    return text(key);
  }
  read_.emplace_back(key);
  echo(key, default_value);
  return std::string(default_value);
}

std::string ConfigObject::choice(std::string_view key, std::span<const std::string_view> allowed) {
  const Json& value = need(key, "one of " + joined(allowed));
  if (!value.is_string() ||
      std::ranges::find(allowed, value.get_ref<const std::string&>()) == allowed.end()) {
    fail(key, shown(value) + " is not one of: " + joined(allowed));
  }
  echo(key, value);
  return value.get<std::string>();
}

std::string ConfigObject::choice_or(std::string_view key, std::string_view default_value,
                                    std::span<const std::string_view> allowed) {
  if (has(key)) {
    return choice(key, allowed);
  }
  read_.emplace_back(key);
  echo(key, default_value);
  return std::string(default_value);
}

DType ConfigObject::dtype(std::string_view key) {
  return parse_dtype(choice(key, dtype_names()), where(key));
}

DType ConfigObject::dtype_or(std::string_view key, DType default_value) {
  return parse_dtype(choice_or(key, name_of(default_value), dtype_names()), where(key));
}

std::vector<double> ConfigObject::numbers(std::string_view key, double min, double max) {
  const Json& value = checked_array(where(key), need(key, "an array of numbers"), "numbers");
  std::vector<double> result;
  for (const Json& item : value) {
    result.push_back(checked_number(where_of(key, result.size()), item, min, max));
  }
  echo(key, value);
  return result;
}

std::vector<std::int64_t> ConfigObject::integers(std::string_view key, std::int64_t min,
                                                 std::int64_t max) {
  const Json& value =
      checked_array(where(key), need(key, "an array of whole numbers"), "whole numbers");
  std::vector<std::int64_t> result;
  for (const Json& item : value) {
    result.push_back(checked_integer(where_of(key, result.size()), item, min, max));
  }
  echo(key, value);
  return result;
}

std::vector<std::string> ConfigObject::texts(std::string_view key) {
  const Json& value = checked_array(where(key), need(key, "an array of texts"), "texts");
  std::vector<std::string> result;
  for (const Json& item : value) {
    result.push_back(checked_text(where_of(key, result.size()), item));
  }
  echo(key, value);
  return result;
}

ConfigObject ConfigObject::object(std::string_view key) {
  return {need(key, "an object {...}"), where(key), effective_child(key), record_};
}

std::optional<ConfigObject> ConfigObject::object_if(std::string_view key) {
  const Json* found = find(key);
  if (found == nullptr) {
    return std::nullopt;
  }
  return ConfigObject(*found, where(key), effective_child(key), record_);
}

std::vector<ConfigObject> ConfigObject::objects(std::string_view key) {
  const Json* found = find(key);
  std::vector<ConfigObject> result;
  if (found == nullptr) {
    return result;
  }
  checked_array(where(key), *found, "objects");
  Json* echoed = effective_child(key);
  if (echoed != nullptr && !(echoed->is_array() && echoed->size() == found->size())) {
    *echoed = Json::array();  // once only: elements handed out before must stay where they are
    echoed->get_ref<Json::array_t&>().resize(found->size());
  }
  for (std::size_t i = 0; i < found->size(); ++i) {
    result.emplace_back((*found)[i], where_of(key, i), echoed == nullptr ? nullptr : &(*echoed)[i],
                        record_);
  }
  return result;
}

const Json* ConfigObject::raw(std::string_view key) {
  const Json* found = find(key);
  if (found != nullptr) {
    echo(key, *found);
  }
  return found;
}

void ConfigObject::reject_unknown_keys() const {
  for (const auto& item : value_->items()) {
    if (std::ranges::find(read_, item.key()) == read_.end()) {
      std::vector<std::string> known = read_;
      std::ranges::sort(known);
      known.erase(std::ranges::unique(known).begin(), known.end());
      fail(item.key(), known.empty() ? "unknown key; the object must be empty"
                                     : "unknown key; known here: " + joined(known));
    }
  }
}

}  // namespace moesim
