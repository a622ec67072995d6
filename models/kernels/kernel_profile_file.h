// A profile in a library. What it was measured on is read at once; its families, nearly all of its
// text, only when somebody asks for one.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "models/kernels/kernel_profile.h"

namespace moesim {

class KernelProfileFile {
 public:
  // Throws ConfigError for a file that says not what it is a profile of.
  explicit KernelProfileFile(std::string path);
  explicit KernelProfileFile(KernelProfile profile);

  // The profile without its families.
  [[nodiscard]] const KernelProfile& head() const { return head_; }
  // See KernelProfile::laws; of a file that does not list them, read as a whole.
  [[nodiscard]] const KnownLaws& laws() const;
  // False only if the head says that no family is of this kind; true may mean that it says nothing.
  [[nodiscard]] bool may_hold(KernelKind kind) const;
  // Read on the first call; thread-safe. Throws ConfigError naming the file if it is damaged.
  [[nodiscard]] const KernelProfile& whole() const;

 private:
  std::string path_;
  KernelProfile head_;
  mutable std::mutex mutex_;
  mutable std::optional<KernelProfile> whole_;
  mutable KnownLaws laws_;  // of whole_
};

}  // namespace moesim
