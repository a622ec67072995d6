#include "calibrate/cuda/host/system_name.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "sim/core/error.h"

namespace moesim::bench {
namespace {

struct Rule {
  std::string_view system;
  std::string_view needed;   // words, in any order
  std::string_view allowed;  // words that change nothing
};
// A rule is for names that have its needed words and no others but the allowed ones: "PCIe",
// "40GB", "MIG" or "Laptop" are other clocks and memories than those of the catalogue's entry.
// Names that are their entry's once in lower case, as of the RTX A6000, need no rule.
constexpr std::array rules{
    Rule{"a100_pcie", "a100 80gb pcie", ""},
    Rule{"a100_sxm", "a100 sxm4 80gb", ""},
    Rule{"a800_sxm", "a800 sxm4 80gb", ""},
    Rule{"b200_sxm", "b200", "sxm6"},
    Rule{"b300_sxm", "b300", "sxm6 ac"},
    Rule{"h100_sxm", "h100 80gb hbm3", "sxm5"},
    Rule{"h200_sxm", "h200", "sxm5 141gb hbm3e"},
    Rule{"h800_sxm", "h800", "sxm5 80gb hbm3"},
    Rule{"rtx_4090", "rtx 4090", "geforce"},
    Rule{"rtx_pro_6000_workstation", "rtx pro 6000 blackwell workstation edition", ""},
    Rule{"rtx_pro_6000_server", "rtx pro 6000 blackwell server edition", ""}};

// In lower case; everything but letters and digits separates.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) {
      words.back().push_back(static_cast<char>(std::tolower(byte)));
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) {
    words.pop_back();
  }
  return words;
}

bool is_for(const Rule& rule, const std::vector<std::string>& words) {
  const std::vector<std::string> needed = words_of(rule.needed);
  const std::vector<std::string> allowed = words_of(rule.allowed);
  const auto among = [](const std::vector<std::string>& all) {
    return [&all](const std::string& word) { return std::ranges::find(all, word) != all.end(); };
  };
  return std::ranges::all_of(needed, among(words)) &&
         std::ranges::all_of(words, [&](const std::string& word) {
           return among(needed)(word) || among(allowed)(word);
         });
}

}  // namespace

std::string guess_system_name(std::string_view device_name) {
  std::vector<std::string> words = words_of(device_name);
  if (!words.empty() && words.front() == "nvidia") {
    words.erase(words.begin());
  }
  for (const Rule& rule : rules) {
    if (is_for(rule, words)) {
      return std::string(rule.system);
    }
  }
  std::string name;
  for (const std::string& word : words) {
    name += (name.empty() ? "" : "_") + word;
  }
  return name.empty() ? "unknown" : name;
}

void check_system_name(std::string_view name) {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyz0123456789_";
  if (name.empty() || name.find_first_not_of(allowed) != std::string_view::npos) {
    throw ConfigError("--system", "\"" + std::string(name) +
                                      "\" is no name of the hardware catalogue: those have lower-"
                                      "case letters, digits and underscores, as h100_sxm");
  }
}

}  // namespace moesim::bench
