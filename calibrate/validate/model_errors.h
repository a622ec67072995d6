// Errors of the rows that have a model's own widths: what its users see, and what a median over all
// measured widths hides.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/validate/judged_point.h"
#include "models/network/moe_model.h"

namespace moesim {

struct ModelErrors {
  std::string model;
  std::string group;  // of the validation's report
  std::int64_t n = 0;
  double median_ape = 0.0;
  double p90_ape = 0.0;
  double mean_signed_error = 0.0;  // of predicted/measured - 1
};

// Rows of routed experts by hidden width, expert width, experts and top-k; of attention by heads,
// KV heads and head width; of MLA by heads and latent. Widths and heads may be sliced over 1 to 8
// tensor-parallel ranks.
class ErrorsByModel {
 public:
  explicit ErrorsByModel(const std::vector<MoeModel>& models);
  void add(const JudgedPoint& point);
  // By model, then group.
  [[nodiscard]] std::vector<ModelErrors> rows() const;

 private:
  // Values of the named dimensions; the sliced ones are those of one rank.
  using Widths = std::vector<std::pair<std::string_view, double>>;
  void add_experts(const std::string& model, const FfnGroup& ffn, double hidden);
  void add_attention(const std::string& model, const Attention& attention);

  std::vector<std::pair<std::string, Widths>> known_;
  std::map<std::pair<std::string, std::string>, std::vector<float>> errors_;  // signed
};

}  // namespace moesim
