// Fits a generator profile to a token trace by matching moments layer by layer.
#pragma once

#include <cstdint>
#include <functional>

#include "workloads/generator/profile.h"
#include "workloads/trace/moetrace.h"

namespace moesim {

struct ProfileFitOptions {
  int rounds = 10;
  int calibration_sample = 16384;
  std::uint64_t seed = 1;
  int threads = 1;
};

// How far the model is from the data: mean over layers of |model - data| of each matched moment.
struct FitMisses {
  double token_recall = 0.0;
  double overlap_far = 0.0;
  double overlap_near = 0.0;
};

// What a fit starts from where no profile is at hand. Router, first layer, request lengths and
// vocabulary (distinct token ids) are those of the trace; all else is the deepseek-v2-lite
// profile's: amplitudes as guesses that the fit moves, the rest as assumptions that the notes name.
GeneratorProfile start_of_fit(const RoutedTokens& data, const TraceMetadata& metadata);

// `start` gives what is not matched (dimensions, correlations, router noise, vocabulary, lengths)
// and first guesses of the amplitudes. Matched per layer, on equally many tokens: load cv and
// maximum (set directly), recall of a token-id table (token), overlap at lag 32 above random pairs
// (request), overlap at lag 1 above lag 32 (context and fast together). Returned with its bias.
GeneratorProfile fit_profile(const RoutedTokens& data, GeneratorProfile start,
                             const ProfileFitOptions& options,
                             const std::function<void(int round, FitMisses)>& report = {});

}  // namespace moesim
