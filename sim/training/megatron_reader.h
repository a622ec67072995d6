// Typed access to Megatron-LM's arguments; knows which have been asked for.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sim/training/megatron_arguments.h"

namespace moesim {

class MegatronReader {
 public:
  MegatronReader(const MegatronArguments& arguments, std::string where)
      : arguments_(arguments), where_(std::move(where)) {}

  // Throws ConfigError unless the value is a whole number >= `least`.
  std::int64_t count(std::string_view name, std::int64_t least = 1);  // must be given
  std::int64_t count_or(std::string_view name, std::int64_t absent, std::int64_t least = 1);
  double number_or(std::string_view name, double absent);
  bool flag(std::string_view name);
  std::string text_or(std::string_view name, std::string_view absent);
  // Words of a list: "a b", "[a b]" or "[a, b]".
  std::vector<std::string> words(std::string_view name);
  [[nodiscard]] bool has(std::string_view name) const { return arguments_.contains(name); }
  [[noreturn]] void fail(std::string_view name, std::string_view what) const;

  [[nodiscard]] std::vector<std::string> unread() const;

 private:
  const std::string* find(std::string_view name);

  const MegatronArguments& arguments_;
  std::string where_;
  std::set<std::string, std::less<>> read_;
};

nlohmann::json megatron_model(MegatronReader& reader);

// Layers per part of --pipeline-model-parallel-layout, "Et*3|(tt|)*6mL": t a layer, E embedding, m
// a prediction module, L the loss, x*n or (xyz)*n repeats. Throws ConfigError.
std::vector<int> megatron_layout_layers(const std::string& layout, const MegatronReader& reader);

}  // namespace moesim
