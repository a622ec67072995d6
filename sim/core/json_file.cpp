// Reading and writing of whole files, and overrides of single fields.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <system_error>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

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
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) {
      constexpr std::size_t deepest = 200;
      if (open_objects.size() >= deepest) {
        throw ConfigError(name, "objects are nested more than 200 deep");
      }
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

void write_text_file(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".part." + std::to_string(::getpid());
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.flush();
    if (!file) {
      const int code = errno;
      std::remove(temporary.c_str());
      throw std::system_error(code, std::generic_category(), "cannot write " + path);
    }
  }
  std::filesystem::rename(temporary, path);
}

void apply_override(Json& document, std::string_view assignment) {
  const std::string where = "--set " + std::string(assignment);
  const auto equals = assignment.find('=');
  if (equals == std::string_view::npos || !assignment.starts_with('/')) {
    throw ConfigError(where, "is not of the form /json/pointer=value");
  }
  const std::string text(assignment.substr(equals + 1));
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) {
    value = text;
  }
  try {
    const Json::json_pointer pointer{std::string(assignment.substr(0, equals))};
    Json* parent = &document;
    // Only objects grow: a path through a text or past an array's end is a mistake.
    for (Json::json_pointer at = pointer; !at.empty(); at.pop_back()) {
      const auto above = at.parent_pointer();
      if (document.contains(above)) {
        parent = &document.at(above);
        if (parent->is_array() && !document.contains(at)) {
          throw ConfigError(where, "the array " + above.to_string() + " has no such element");
        }
        if (!parent->is_structured() && !parent->is_null()) {
          throw ConfigError(where, above.to_string() + " is no object; it has no fields");
        }
        break;
      }
    }
    document[pointer] = std::move(value);
  } catch (const Json::exception& error) {
    throw ConfigError(where, std::string("is not a usable JSON pointer: ") + error.what());
  }
}

}  // namespace moesim
