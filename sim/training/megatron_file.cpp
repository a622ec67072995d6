// Text to arguments.
#include <algorithm>
#include <optional>

#include "sim/core/error.h"
#include "sim/training/megatron_arguments.h"

namespace moesim {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r'\"");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t\r'\"") - first + 1);
}

// Lower case with dashes.
std::string spelled(std::string_view name) {
  std::string result(name.substr(std::min(name.find_first_not_of('-'), name.size())));
  std::ranges::replace(result, '_', '-');
  return result;
}

bool is_option(std::string_view word) { return word.starts_with("--") && word.size() > 2; }

std::string_view without_comment(std::string_view line) {
  const auto at = line.find('#');
  return at == std::string_view::npos || (at > 0 && line[at - 1] != ' ') ? line
                                                                         : line.substr(0, at);
}

// "--name: value" or "name: value"; nothing for other lines and for a map's own key.
std::optional<std::pair<std::string, std::string>> yaml_line(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view name = trimmed(line.substr(0, colon));
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (name.empty() || value.empty() || name.find(' ') != std::string_view::npos) {
    return std::nullopt;
  }
  return std::pair(spelled(name), std::string(value == "True" ? "true" : value));
}

class Words {
 public:
  explicit Words(MegatronArguments& out) : out_(out) {}

  void add(std::string_view word) {
    if (is_option(word)) {
      const auto equals = word.find('=');
      name_ = spelled(word.substr(0, equals));
      out_[name_] =
          equals == std::string_view::npos ? "true" : std::string(word.substr(equals + 1));
      plain_ = equals == std::string_view::npos;
    } else if (!name_.empty()) {
      std::string& value = out_[name_];
      if (plain_) {
        value = word;
      } else {
        value.append(" ").append(word);
      }
      plain_ = false;
    }
  }

 private:
  MegatronArguments& out_;
  std::string name_;
  bool plain_ = false;  // no value yet
};

void split_words(std::string_view line, Words& words) {
  std::size_t at = 0;
  while (at < line.size()) {
    const std::size_t first = line.find_first_not_of(" \t\r\\()", at);
    if (first == std::string_view::npos) {
      return;
    }
    at = std::min(line.find_first_of(" \t\r\\", first), line.size());
    const std::string_view word = trimmed(line.substr(first, at - first));
    if (!word.empty() && word != ")") {
      words.add(word);
    }
  }
}

}  // namespace

MegatronArguments parse_megatron_arguments(std::string_view text, std::string_view name) {
  MegatronArguments arguments;
  Words words(arguments);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(without_comment(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
    // Lines of YAML have their colon right behind the name.
    const auto colon = line.find(": ");
    const bool yaml = colon != std::string_view::npos && line.find(' ') > colon;
    if (const auto pair = yaml ? yaml_line(line) : std::nullopt) {
      arguments[pair->first] = pair->second;
    } else if (!line.ends_with(':')) {
      split_words(line, words);
    }
  }
  if (arguments.empty()) {
    throw ConfigError(std::string(name), "has no Megatron arguments (--num-layers 32 ...)");
  }
  return arguments;
}

}  // namespace moesim
