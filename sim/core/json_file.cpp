// Reading of whole files, and overrides of single fields.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr int k_deepest = 200;  // printing and copying recurse

std::string position_of(std::string_view text, std::size_t byte) {
  std::size_t line = 1;
  std::size_t column = 1;
  for (const char c : text.substr(0, std::min(byte, text.size()))) {
    if (c == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return std::to_string(line) + ":" + std::to_string(column);
}

// Drops the library's own prefix "[json.exception...] parse error at line 1, column 2: ".
std::string reason_of(const Json::parse_error& error) {
  const std::string text = error.what();
  const auto colon = text.find(": ", text.find("parse error"));
  return colon == std::string::npos ? text : text.substr(colon + 2);
}

}  // namespace

Json parse_json(std::string_view text, std::string_view name) {
  std::vector<std::set<std::string>> open_objects;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      if (depth >= k_deepest) {
        throw ConfigError(name, "objects and arrays are nested more than 200 deep");
      }
    }
    if (event == Json::parse_event_t::object_start) {
      open_objects.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      open_objects.pop_back();
    } else if (event == Json::parse_event_t::key &&
               !open_objects.back().insert(parsed.get<std::string>()).second) {
      throw ConfigError(name, "key \"" + parsed.get<std::string>() +
                                  "\" stands twice in one object; keep one of them");
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::parse_error& error) {
    throw ConfigError(
        std::string(name) + ":" + position_of(text, error.byte > 0 ? error.byte - 1 : 0),
        "not JSON: " + reason_of(error));
  } catch (const Json::out_of_range& error) {
    throw ConfigError(name, std::string("a number is out of range: ") + error.what());
  }
}

std::string read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) {
    throw ConfigError(path, "cannot be read; give the path of an existing file");
  }
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

Json read_json_file(const std::string& path) { return parse_json(read_text_file(path), path); }

namespace {

std::vector<std::string> tokens_of(const std::string& pointer, const std::string& where) {
  std::vector<std::string> tokens;
  try {
    for (Json::json_pointer left{pointer}; !left.empty(); left.pop_back()) {
      tokens.push_back(left.back());
    }
  } catch (const Json::exception&) {
    throw ConfigError(where,
                      "is not a JSON pointer: after ~ only 0 (for ~) and 1 (for /) may follow");
  }
  if (tokens.size() > k_deepest) {
    throw ConfigError(where, "leads more than 200 deep");
  }
  std::ranges::reverse(tokens);
  return tokens;
}

// What is not UTF-8 could not be printed as JSON again.
bool is_utf8(std::string_view text) {
  try {
    return !Json(text).dump().empty();
  } catch (const Json::type_error&) {
    return false;
  }
}

// A number as JSON pointers write it: digits, no leading zero.
std::optional<std::size_t> index_of(const std::string& token) {
  std::size_t index = 0;
  const char* end = token.data() + token.size();
  const auto [stop, error] = std::from_chars(token.data(), end, index);
  if (error != std::errc{} || stop != end || (token.size() > 1 && token.front() == '0')) {
    return std::nullopt;
  }
  return index;
}

}  // namespace

void apply_override(Json& document, std::string_view assignment) {
  const std::string where = "--set " + std::string(assignment);
  const auto equals = assignment.find('=');
  if (equals == std::string_view::npos || !assignment.starts_with('/')) {
    throw ConfigError(where, "is not of the form /json/pointer=value");
  }
  if (!is_utf8(assignment)) {
    throw ConfigError(where, "is not UTF-8");
  }
  const std::string text(assignment.substr(equals + 1));
  Json value = Json::accept(text) ? parse_json(text, where) : Json(text);
  // Not document[json_pointer]: that would turn a missing /a into an array for "/a/999999999".
  Json* at = &document;
  std::string walked;
  for (const std::string& token : tokens_of(std::string(assignment.substr(0, equals)), where)) {
    if (at->is_array()) {
      const auto index = index_of(token);
      if (!index || *index >= at->size()) {
        std::string what = "the array ";
        what.append(walked).append(" has no element ").append(token);
        what.append("; its length is ").append(std::to_string(at->size()));
        throw ConfigError(where, what);
      }
      at = &(*at)[*index];
    } else if (at->is_object() || at->is_null()) {
      at = &(*at)[token];
    } else {
      throw ConfigError(where, walked + " is no object; it has no fields");
    }
    walked += "/" + token;
  }
  *at = std::move(value);
}

}  // namespace moesim
