#include "models/kernels/kernel_profile_file.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

KernelProfile without_families(KernelProfile profile) {
  profile.families.clear();
  return profile;
}

// The first kilobytes of the file, up to its families, closed to a document of its own. Empty where
// that is none: then the families do not come last.
std::string head_text(const std::string& path) {
  constexpr std::size_t longest = 8192;
  std::string text(longest, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  text.resize(std::min(text.size(), text.find("\"families\"")));
  const auto comma = text.find_last_not_of(" \t\r\n");
  if (comma == std::string::npos || text[comma] != ',') {
    return {};
  }
  text[comma] = '}';
  return nlohmann::json::accept(text) ? text : std::string();
}

}  // namespace

KernelProfileFile::KernelProfileFile(std::string path) : path_(std::move(path)) {
  if (const std::string text = head_text(path_); !text.empty()) {
    try {
      head_ = parse_kernel_profile_head(parse_json(text, path_), path_ + "#");
      return;
    } catch (const ConfigError&) {
      // Something is missing here: it comes later, or the whole file's error says what it is.
    }
  }
  whole_ = read_kernel_profile(path_);
  head_ = without_families(*whole_);
}

KernelProfileFile::KernelProfileFile(KernelProfile profile)
    : head_(without_families(profile)), whole_(std::move(profile)) {
  head_.laws = laws_of(*whole_);
}

bool KernelProfileFile::may_hold(KernelKind kind) const {
  return head_.operations.empty() ||
         std::ranges::find(head_.operations, kind) != head_.operations.end();
}

const KnownLaws& KernelProfileFile::laws() const {
  if (!head_.laws.empty()) {
    return head_.laws;
  }
  const KernelProfile& profile = whole();
  const std::scoped_lock lock(mutex_);
  if (laws_.empty()) {
    laws_ = laws_of(profile);
  }
  return laws_;
}

const KernelProfile& KernelProfileFile::whole() const {
  const std::scoped_lock lock(mutex_);
  if (!whole_) {
    whole_ = read_kernel_profile(path_);
  }
  return *whole_;
}

}  // namespace moesim
