#include "sim/core/relative_paths.h"

#include <filesystem>
#include <nlohmann/json.hpp>

namespace moesim {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

bool is_there(const fs::path& path) {
  std::error_code unreadable;
  return fs::exists(path, unreadable);
}

// "./a" -> "a".
fs::path without_dots(const fs::path& path) {
  fs::path rest;
  for (const fs::path& part : path) {
    if (!rest.empty() || part != ".") {
      rest /= part;
    }
  }
  return rest;
}

class Rebasing {
 public:
  explicit Rebasing(const std::string& file) : file_(file), folder_(fs::path(file).parent_path()) {}

  // `pointer` leads on from `value`, which stands at `at`.
  void walk(Json& value, std::string_view pointer, const std::string& at, PathIn path_in) {
    if (pointer.empty()) {
      if (value.is_string()) {
        rebase(value, at, path_in);
      }
      return;
    }
    pointer.remove_prefix(1);
    const std::string_view key = pointer.substr(0, pointer.find('/'));
    const std::string_view rest = pointer.substr(key.size());
    if (key == "*" && value.is_structured()) {
      for (const auto& item : value.items()) {
        walk(item.value(), rest, at + "/" + item.key(), path_in);
      }
    } else if (value.is_object()) {
      if (const auto found = value.find(key); found != value.end()) {
        walk(*found, rest, at + "/" + std::string(key), path_in);
      }
    }
  }

  [[nodiscard]] std::vector<std::string> messages() && { return std::move(messages_); }

 private:
  void rebase(Json& value, const std::string& at, PathIn path_in) {
    const auto& text = value.get_ref<const std::string&>();
    const std::string_view part = path_in(text);
    const fs::path path(part);
    if (part.empty() || path.is_absolute()) {
      return;
    }
    // Not normalised by its letters: "link/.." need not be where the link stands.
    const std::string beside = (folder_ / without_dots(path)).string();
    if (!is_there(beside) && is_there(path)) {
      messages_.push_back(file_ + "#" + at + ": " + beside + " does not exist, " +
                          std::string(part) +
                          " of the working directory is used; write paths relative to the file "
                          "that they stand in");
      return;
    }
    const auto start = static_cast<std::size_t>(part.data() - text.data());
    value = text.substr(0, start) + beside + text.substr(start + part.size());
  }

  const std::string& file_;
  fs::path folder_;
  std::vector<std::string> messages_;
};

}  // namespace

std::string_view whole_text(std::string_view text) { return text; }

std::string_view json_file_name(std::string_view text) {
  return text.ends_with(".json") ? text : std::string_view();
}

std::vector<std::string> rebase_paths(Json& document, const std::string& file,
                                      std::span<const PathKey> keys) {
  std::error_code unreadable;
  if (fs::path(file).parent_path().empty() ||
      (fs::exists(file, unreadable) && !fs::is_regular_file(file, unreadable))) {
    return {};  // of the working directory, or a pipe, which stands nowhere
  }
  Rebasing rebasing(file);
  for (const PathKey& key : keys) {
    rebasing.walk(document, key.pointer, "", key.path_in);
  }
  return std::move(rebasing).messages();
}

}  // namespace moesim
