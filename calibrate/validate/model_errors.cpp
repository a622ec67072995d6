#include "calibrate/validate/model_errors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <tuple>

#include "calibrate/fit/fit_errors.h"

namespace moesim {
namespace {

constexpr std::array<std::int64_t, 4> k_slices{1, 2, 4, 8};

double dim_of(const JudgedPoint& point, std::string_view name) {
  const auto found = std::ranges::find(point.dim_names, name);
  return found == point.dim_names.end()
             ? 0.0
             : point.dims[static_cast<std::size_t>(found - point.dim_names.begin())];
}

double number(std::int64_t value) { return static_cast<double>(value); }

}  // namespace

ErrorsByModel::ErrorsByModel(const std::vector<MoeModel>& models) {
  for (const MoeModel& model : models) {
    for (const Block& block : model.blocks) {
      add_attention(model.name, block.attention);
      if (const FfnGroup* moe = block.moe()) {
        add_experts(model.name, *moe, number(moe->latent_dim > 0 ? moe->latent_dim : model.hidden));
      }
    }
  }
  std::ranges::sort(known_);
  known_.erase(std::ranges::unique(known_).begin(), known_.end());
}

void ErrorsByModel::add_experts(const std::string& model, const FfnGroup& ffn, double hidden) {
  for (const std::int64_t slices : k_slices) {
    if (ffn.expert().inter % slices == 0) {
      known_.push_back({model,
                        {{"hidden", hidden},
                         {"inter", number(ffn.expert().inter / slices)},
                         {"total_experts", number(ffn.ffn_experts())},
                         {"top_k", number(ffn.router.top_k)}}});
    }
  }
}

void ErrorsByModel::add_attention(const std::string& model, const Attention& attention) {
  for (const std::int64_t slices : k_slices) {
    if (attention.heads % slices != 0) {
      continue;
    }
    const double heads = number(attention.heads / slices);
    if (attention.kind == AttentionKind::mla) {
      known_.push_back({model,
                        {{"heads", heads},
                         {"latent", number(attention.kv_rank)},
                         {"rope", number(attention.rope_dim)}}});
    } else if (attention.kind == AttentionKind::mha || attention.kind == AttentionKind::gqa) {
      known_.push_back(
          {model,
           {{"heads", heads},
            {"kv_heads", number(std::max<std::int64_t>(1, attention.kv_heads / slices))},
            {"head_dim", number(attention.head_dim)}}});
    }
  }
}

void ErrorsByModel::add(const JudgedPoint& point) {
  std::set<std::string_view> of;
  for (const auto& [model, widths] : known_) {
    const bool same = std::ranges::all_of(
        widths, [&point](const auto& width) { return dim_of(point, width.first) == width.second; });
    if (same && of.insert(model).second) {
      errors_[{model, std::string(point.group)}].push_back(
          static_cast<float>(point.predicted_s / point.measured_s - 1));
    }
  }
}

std::vector<ModelErrors> ErrorsByModel::rows() const {
  std::vector<ModelErrors> rows;
  for (const auto& [key, errors] : errors_) {
    ModelErrors& row = rows.emplace_back();
    std::tie(row.model, row.group) = key;
    row.n = static_cast<std::int64_t>(errors.size());
    std::vector<double> absolute;
    double sum = 0.0;
    for (const float error : errors) {
      absolute.push_back(std::abs(static_cast<double>(error)));
      sum += static_cast<double>(error);
    }
    const ErrorSummary ape = summarise(std::move(absolute));
    row.median_ape = ape.median;
    row.p90_ape = ape.p90;
    row.mean_signed_error = rounded(sum / static_cast<double>(errors.size()));
  }
  return rows;
}

}  // namespace moesim
