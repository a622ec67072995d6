#include "workloads/generator/profile_fit.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "sim/core/error.h"
#include "workloads/generator/generator.h"
#include "workloads/statistics/statistics_parts.h"

namespace moesim {
namespace {

using namespace detail;

// Per layer, each above what chance or the slower component already gives.
struct Moments {
  std::vector<double> token;  // recall of the token-id table above popularity
  std::vector<double> far;    // overlap at lag 32 above random pairs
  std::vector<double> near;   // overlap at lag 1 above lag 32
};

std::vector<double> above(std::vector<double> values, const std::vector<double>& floor) {
  ensure(values.size() == floor.size(), "moments of the same layers");
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] -= floor[i];
  }
  return values;
}

Moments moments_of(const RoutedTokens& tokens, const ProfileFitOptions& options) {
  const auto input = prepare_statistics(tokens, 0, options.seed, options.threads);
  const auto far = overlap_at(input, 32);
  if (far.empty() || input.segments.size() < 4) {
    throw ConfigError("fit of a routing profile",
                      "needs at least 4 requests, some longer than 33 tokens");
  }
  return {.token = above(token_recall_by_layer(input), popularity_recall_by_layer(input)),
          .far = above(far, random_overlap(input)),
          .near = above(overlap_at(input, 1), far)};
}

// Moves an amplitude towards what the moment asks for; overlaps grow with its square at first.
void move(std::vector<double>& amplitudes, const std::vector<double>& data,
          const std::vector<double>& model, double power) {
  constexpr double least = 1e-3;
  for (std::size_t l = 0; l < amplitudes.size(); ++l) {
    const double ratio = std::max(data[l], least) / std::max(model[l], least);
    amplitudes[l] =
        std::clamp(amplitudes[l] * std::pow(std::clamp(ratio, 0.25, 4.0), power), 0.01, 30.0);
  }
}

// Hidden states are normalised, so only ratios of amplitudes matter: squares become shares of 1.
void to_shares(LayerAmplitudes& amplitudes) {
  for (std::size_t l = 0; l < amplitudes.own.size(); ++l) {
    double square = 0.0;
    const std::array<double*, 5> all = {&amplitudes.token[l], &amplitudes.request[l],
                                        &amplitudes.context[l], &amplitudes.fast[l],
                                        &amplitudes.own[l]};
    for (const double* value : all) {
      square += *value * *value;
    }
    for (double* value : all) {
      *value = std::round(*value / std::sqrt(square) * 1e4) / 1e4;
    }
  }
}

double mean_miss(const std::vector<double>& data, const std::vector<double>& model) {
  double sum = 0.0;
  for (std::size_t l = 0; l < data.size(); ++l) {
    sum += std::abs(data[l] - model[l]);
  }
  return sum / static_cast<double>(data.size());
}

void set_loads(const RoutedTokens& data, GeneratorProfile& profile,
               const ProfileFitOptions& options) {
  const auto input = prepare_statistics(data, 0, options.seed, options.threads);
  profile.load_cv.clear();
  profile.load_max_over_mean.clear();
  for (std::size_t l = 0; l < input.layers(); ++l) {
    Rows rows;
    add_layer_load_rows("", input.loads(l, input.kept), rows);
    profile.load_max_over_mean.push_back(rows.at(0).value);
    profile.load_cv.push_back(rows.at(1).value);
  }
}

}  // namespace

GeneratorProfile fit_profile(const RoutedTokens& data, GeneratorProfile start,
                             const ProfileFitOptions& options,
                             const std::function<void(int round, FitMisses)>& report) {
  const RouterSpec& router = start.router;
  if (data.layers != router.layers || data.experts != router.experts ||
      data.top_k != router.top_k) {
    throw ConfigError("fit of a routing profile",
                      "the trace's layers, experts or top_k differ from the profile's");
  }
  GeneratorProfile profile = std::move(start);
  const Moments wanted = moments_of(data, options);
  set_loads(data, profile, options);
  for (int round = 0; round < options.rounds; ++round) {
    profile = calibrated(std::move(profile), options.calibration_sample, options.threads);
    const RoutingGenerator generator(profile, options.threads);
    const auto runs = generator.draw_requests(data.tokens(), options.seed);
    const Moments got = moments_of(generator.route(runs, options.seed, options.threads), options);
    if (report) {
      report(round, {.token_recall = mean_miss(wanted.token, got.token),
                     .overlap_far = mean_miss(wanted.far, got.far),
                     .overlap_near = mean_miss(wanted.near, got.near)});
    }
    move(profile.amplitudes.token, wanted.token, got.token, 0.6);
    move(profile.amplitudes.request, wanted.far, got.far, 0.4);
    move(profile.amplitudes.context, wanted.near, got.near, 0.4);
    move(profile.amplitudes.fast, wanted.near, got.near, 0.4);
  }
  to_shares(profile.amplitudes);
  return calibrated(std::move(profile), options.calibration_sample, options.threads);
}

}  // namespace moesim
