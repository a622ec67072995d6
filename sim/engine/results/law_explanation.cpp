#include "sim/engine/results/law_explanation.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/kernels/kernel_form.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

Json option_json(const LawOption& option) {
  Json row{{"profile", option.profile},      {"law", option.law},
           {"basis", name_of(option.basis)}, {"seconds", option.seconds},
           {"sigma", option.sigma},          {"extrapolated", option.extrapolated},
           {"reason", option.reason}};
  if (!option.kernel_source.empty()) {
    row["kernel_source"] = option.kernel_source;
  }
  if (option.basis != Basis::uncalibrated) {
    row["expected_error"] = option.expected_error;
  }
  return row;
}

Json shape_json(const OpShape& op) {
  const KernelShape shape = shape_of(op);
  const auto names = dim_names(shape.key.kind).names;
  Json dims = Json::object();
  for (std::size_t i = 0; i < names.size(); ++i) {
    dims[std::string(names[i])] = shape.dims.at(i);
  }
  return dims;
}

}  // namespace

std::vector<LawExplanation> explain_laws(const KernelModel& kernels, const LoweredStep& step) {
  std::vector<LawExplanation> rows;
  for (const FamilyUse& use : step.families) {
    if (use.longest && use.kernels > 0) {
      rows.push_back({use.name, *use.longest, use.kernels, kernels.explain(*use.longest)});
    }
  }
  std::ranges::sort(rows, {}, &LawExplanation::family);
  return rows;
}

Json explanations_json(const std::vector<LawExplanation>& explanations) {
  Json rows = Json::array();
  for (const LawExplanation& explanation : explanations) {
    Json row{{"family", explanation.family},
             {"calls", explanation.kernels},
             {"shape", shape_json(explanation.shape)},
             {"answers", option_json(explanation.options.front())},
             {"runners_up", Json::array()}};
    for (std::size_t i = 1; i < explanation.options.size(); ++i) {
      row["runners_up"].push_back(option_json(explanation.options[i]));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace moesim
