#include "workloads/generator/profile_scaled.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace moesim {
namespace {

// The curve at `layers` points of the same relative depths, first and last included.
std::vector<double> stretched(const std::vector<double>& curve, int layers) {
  std::vector<double> values;
  for (int l = 0; l < layers; ++l) {
    const double at = layers == 1 ? 0.0
                                  : static_cast<double>(l) * static_cast<double>(curve.size() - 1) /
                                        static_cast<double>(layers - 1);
    const auto below = std::min(static_cast<std::size_t>(at), curve.size() - 1);
    const auto above = std::min(below + 1, curve.size() - 1);
    values.push_back(curve[below] +
                     (at - static_cast<double>(below)) * (curve[above] - curve[below]));
  }
  return values;
}

}  // namespace

GeneratorProfile scaled_profile(const GeneratorProfile& base, const RouterSpec& router,
                                const std::string& where) {
  constexpr double unevenness_power = 0.2;
  constexpr double peaks_per_octave = 0.72;
  constexpr double most_of_all = 0.8;
  constexpr int few_experts = 64;
  constexpr int few_dimensions = 12;
  if (base.load_cv.empty()) {
    throw ConfigError(where, "profile " + base.name +
                                 " says whose load is which; only profiles with curves of loads "
                                 "(cv, max_over_mean) can be scaled to another model");
  }
  GeneratorProfile scaled = base;
  scaled.name = "scaled:" + base.name;
  scaled.model = "no model of its own";
  scaled.source = "scaled from profile " + base.name + " to " + std::to_string(router.layers) +
                  " layers, top " + std::to_string(router.top_k) + " of " +
                  std::to_string(router.experts) + "; no trace of this model";
  scaled.fit_range = "none of its own";
  scaled.notes = {"scaled by the rule of workloads/generator/README.md"};
  scaled.router = router;
  scaled.zero_experts = 0;
  scaled.zero_share = 0.0;
  scaled.bias_milli.clear();
  if (router.experts < few_experts) {
    scaled.dimensions = std::min(base.dimensions, few_dimensions);
  }
  for (auto curve : {&LayerAmplitudes::token, &LayerAmplitudes::request, &LayerAmplitudes::context,
                     &LayerAmplitudes::fast, &LayerAmplitudes::own}) {
    scaled.amplitudes.*curve = stretched(base.amplitudes.*curve, router.layers);
  }
  const double doublings = std::log2(static_cast<double>(router.experts) / base.router.experts);
  const double unevenness = std::exp2(unevenness_power * doublings);
  const auto cv = stretched(base.load_cv, router.layers);
  const auto peak = stretched(base.load_max_over_mean, router.layers);
  const double most = std::max(1.0, most_of_all * router.experts / router.top_k);
  scaled.load_cv.clear();
  scaled.load_max_over_mean.clear();
  for (std::size_t l = 0; l < cv.size(); ++l) {
    const double per_cv = cv[l] > 0 ? (peak[l] - 1) / cv[l] : 0.0;
    const double higher = std::max(1.0, per_cv + peaks_per_octave * doublings);
    scaled.load_cv.push_back(cv[l] * unevenness);
    scaled.load_max_over_mean.push_back(std::min(most, 1 + scaled.load_cv.back() * higher));
  }
  return scaled;
}

}  // namespace moesim
