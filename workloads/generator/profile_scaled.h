// A profile for a model that nobody traced: another model's, scaled to its router.
#pragma once

#include <string>

#include "workloads/generator/profile.h"

namespace moesim {

// The rule. Kept: correlations, spreads, noise, the law of token ids and prompt lengths. Over
// relative depth: amplitudes and loads. The unevenness of loads (coefficient of variation) grows as
// experts^0.2, between the two measured models: 0.149 of 8 (Mixtral-8x7B), 0.226 of 64
// (DeepSeek-V2-Lite). (max/mean - 1)/cv grows by 0.72 for every doubling of the experts (1.4 of 8,
// 3.5 of 64); a load is at most 0.8 times what would send every token to one expert. Latent
// dimensions: those of `base` from 64 experts on, below 64 at most 12, as Mixtral's profile has it.
// No bias: it is calibrated when tokens are first drawn.
// Throws ConfigError(where, ...) for a base without curves of loads (shares of named experts).
GeneratorProfile scaled_profile(const GeneratorProfile& base, const RouterSpec& router,
                                const std::string& where);

}  // namespace moesim
