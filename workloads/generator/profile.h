// Generator profiles: what a model's routing looks like, as a few fitted coefficients.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "workloads/sources/routing.h"

namespace moesim {

// Amplitudes of the latent components, one per layer (README.md has the equations).
struct LayerAmplitudes {
  std::vector<double> token;    // token identity
  std::vector<double> request;  // request
  std::vector<double> context;  // slow context
  std::vector<double> fast;     // context of a few tokens
  std::vector<double> own;      // the token's own state, drifting over layers
};

struct GeneratorProfile {
  std::string name;
  std::string model;
  std::string source;
  std::string date;
  std::string fit_range;
  std::vector<std::string> notes;  // what is measured, transferred, assumed

  RouterSpec router;
  int first_layer = 0;  // model layer of the first MoE layer

  int dimensions = 0;  // of the latent space
  LayerAmplitudes amplitudes;
  double context_correlation = 0.0;  // probability that the next token keeps the context
  double fast_correlation = 0.0;
  double layer_correlation = 0.0;  // of consecutive layers
  double turn = 0.0;               // radians that vectors turn over the depth of the model
  double token_spread = 0.0;       // of log(strength) over token ids
  double request_spread = 0.0;     // of log(strength of request and context) over requests
  double router_noise = 0.0;       // relative to the spread of scores

  // Loads of a layer: coefficient of variation and maximum / mean over experts.
  std::vector<double> load_cv;
  std::vector<double> load_max_over_mean;
  // Or, where it is known whose load is which: shares [layer][expert] that sum to 1 (up to
  // rounding), and none of the above.
  std::vector<std::vector<double>> load_shares;
  int zero_experts = 0;  // the last ones; no FFN behind them
  double zero_share = 0.0;

  int vocabulary = 0;
  double zipf_exponent = 0.0;  // p(rank) ~ (rank + zipf_shift)^-zipf_exponent
  double zipf_shift = 0.0;
  // Request lengths: quantiles, interpolated in log(tokens).
  std::vector<double> length_probability;
  std::vector<double> length_tokens;

  std::uint64_t model_seed = 0;  // weights of the imagined model
  // Router bias that makes the loads come out, [layer][expert] in thousandths; empty: not
  // calibrated yet.
  std::vector<std::vector<int>> bias_milli;
};

// Reads NAME.json from the first of the folders that has it. Throws ConfigError(where, ...) listing
// the names there are, or naming the profile's field that is wrong.
GeneratorProfile load_profile(const std::string& name, const std::vector<std::string>& profile_dirs,
                              const std::string& where);
GeneratorProfile read_profile(const std::string& path);
std::string profile_text(const GeneratorProfile& profile);

// Shares of the layer's selections that the experts shall get; they sum to 1.
std::vector<double> target_loads(const GeneratorProfile& profile, int layer);

// A profile with bias_milli such that its loads are target_loads, found on `sample` independent
// tokens. The same for any number of threads.
GeneratorProfile calibrated(GeneratorProfile profile, int sample, int threads);

}  // namespace moesim
