#include "sim/training/megatron_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::int64_t k_most = std::int64_t{1} << 40;

bool is_separator(char c) { return c == ' ' || c == ',' || c == '[' || c == ']'; }

}  // namespace

const std::string* MegatronReader::find(std::string_view name) {
  read_.emplace(name);
  const auto found = arguments_.find(name);
  return found == arguments_.end() ? nullptr : &found->second;
}

void MegatronReader::fail(std::string_view name, std::string_view what) const {
  std::string place = where_;
  place.append(" --").append(name);
  throw ConfigError(place, std::string(what));
}

double MegatronReader::number_or(std::string_view name, double absent) {
  const std::string* text = find(name);
  if (text == nullptr) {
    return absent;
  }
  double value = 0;
  const char* end = text->data() + text->size();
  const auto [last, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || last != end || !std::isfinite(value)) {
    fail(name, "\"" + *text + "\" is not a number");
  }
  return value;
}

std::int64_t MegatronReader::count_or(std::string_view name, std::int64_t absent,
                                      std::int64_t least) {
  const double value = number_or(name, static_cast<double>(absent));
  if (value != std::trunc(value) || value > static_cast<double>(k_most) ||
      (has(name) && value < static_cast<double>(least))) {
    fail(name, "is not a whole number from " + std::to_string(least) + " on");
  }
  return static_cast<std::int64_t>(value);
}

std::int64_t MegatronReader::count(std::string_view name, std::int64_t least) {
  if (!has(name)) {
    fail(name, "is missing");
  }
  return count_or(name, least, least);
}

bool MegatronReader::flag(std::string_view name) {
  const std::string* text = find(name);
  return text != nullptr && *text != "false" && *text != "False" && *text != "0";
}

std::string MegatronReader::text_or(std::string_view name, std::string_view absent) {
  const std::string* text = find(name);
  return text == nullptr ? std::string(absent) : *text;
}

std::vector<std::string> MegatronReader::words(std::string_view name) {
  std::vector<std::string> result;
  std::string word;
  for (const char c : text_or(name, "") + " ") {
    if (!is_separator(c)) {
      word.push_back(c);
    } else if (!word.empty()) {
      result.push_back(std::move(word));
      word.clear();
    }
  }
  return result;
}

std::vector<std::string> MegatronReader::unread() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : arguments_) {
    if (!read_.contains(name)) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace moesim
