#include "calibrate/cuda/host/system_name.h"

#include <array>
#include <cctype>

namespace moesim::bench {
namespace {

struct Rule {
  std::string_view all_of_these;  // words, separated by one space
  std::string_view system;
};
// The first rule whose words all occur. PCIe and NVL boards have other clocks and memories than
// the SXM modules of the catalogue, so they must not be taken for them.
constexpr std::array rules{
    Rule{"GB200", "gb200"},         Rule{"B200", "b200_sxm"},       Rule{"H200 NVL", "h200_nvl"},
    Rule{"H200", "h200_sxm"},       Rule{"H800 PCIe", "h800_pcie"}, Rule{"H800", "h800_sxm"},
    Rule{"H100 PCIe", "h100_pcie"}, Rule{"H100 NVL", "h100_nvl"},   Rule{"H100", "h100_sxm"},
    Rule{"A100 PCI", "a100_pcie"},  Rule{"A100", "a100_sxm"},       Rule{"L40S", "l40s"},
    Rule{"RTX A6000", "rtx_a6000"}};

bool holds(std::string_view name, std::string_view words) {
  while (!words.empty()) {
    const std::size_t cut = words.find(' ');
    if (name.find(words.substr(0, cut)) == std::string_view::npos) {
      return false;
    }
    words = cut == std::string_view::npos ? "" : words.substr(cut + 1);
  }
  return true;
}

}  // namespace

std::string guess_system_name(std::string_view device_name) {
  for (const Rule& rule : rules) {
    if (holds(device_name, rule.all_of_these)) {
      return std::string(rule.system);
    }
  }
  constexpr std::string_view maker = "NVIDIA ";
  if (device_name.starts_with(maker)) {
    device_name.remove_prefix(maker.size());
  }
  std::string name;
  for (const char c : device_name) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) {
      name.push_back(static_cast<char>(std::tolower(byte)));
    } else if (!name.empty() && name.back() != '_') {
      name.push_back('_');
    }
  }
  while (name.ends_with('_')) {
    name.pop_back();
  }
  return name.empty() ? "unknown" : name;
}

}  // namespace moesim::bench
