#include "sim/core/key_record.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {

void KeyRecord::unused(const std::string& where, std::string_view reason) {
  if (!is_given(where) ||
      std::ranges::any_of(idle_, [&](const Idle& idle) { return idle.keys.contains(where); })) {
    return;
  }
  auto found = std::ranges::find(idle_, reason, &Idle::reason);
  if (found == idle_.end()) {
    found = idle_.insert(found, Idle{std::string(reason), {}});
  }
  found->keys.insert(where);
}

std::vector<std::string> KeyRecord::warnings() const {
  std::vector<std::string> texts;
  for (const Idle& idle : idle_) {
    std::vector<std::string> pointers;
    for (const std::string& where : idle.keys) {
      pointers.push_back(where.substr(where.find('#') + 1));
    }
    texts.push_back(joined(pointers) +
                    (idle.keys.size() == 1 ? " has no effect: " : " have no effect: ") +
                    idle.reason);
  }
  return texts;
}

}  // namespace moesim
