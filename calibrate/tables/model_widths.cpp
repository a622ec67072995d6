#include "calibrate/tables/model_widths.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace moesim::detail {
namespace {

constexpr std::array models{
    ModelWidths{"llama-3.1-8b", 4096, 32, 8, 128, 14336, 128256, 0, 0, 0, false},
    ModelWidths{"llama-3.1-70b", 8192, 64, 8, 128, 28672, 128256, 0, 0, 0, false},
    ModelWidths{"qwen3-8b", 4096, 32, 8, 128, 12288, 151936, 0, 0, 0, true},
    ModelWidths{"qwen3-32b", 5120, 64, 8, 128, 25600, 151936, 0, 0, 0, true},
    ModelWidths{"qwen3-30b-a3b", 2048, 32, 4, 128, 0, 151936, 128, 8, 768, true},
    ModelWidths{"mixtral-8x7b", 4096, 32, 8, 128, 0, 32000, 8, 2, 14336, false},
    ModelWidths{"phi-tiny-moe-instruct", 4096, 16, 4, 128, 0, 32064, 16, 2, 448, false}};

}  // namespace

const ModelWidths* find_model_widths(std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr std::string_view cut_down = "-tiny";
  if (lower.ends_with(cut_down)) {
    lower.resize(lower.size() - cut_down.size());
  }
  const auto* const found = std::ranges::find(models, lower, &ModelWidths::name);
  return found == models.end() ? nullptr : &*found;
}

}  // namespace moesim::detail
