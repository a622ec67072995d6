// What a list of simulated layouts says.
#pragma once

#include <span>
#include <vector>

#include "sim/plan/train_search.h"

namespace moesim {

// Fastest first; equal times in the order of the layouts' descriptions.
void rank(std::vector<RankedLayout>& layouts);

// Positions of those that no other one beats in step time and peak memory at once.
std::vector<std::size_t> pareto_front(std::span<const RankedLayout> ranking);

// That the first is the fastest, if the logarithms of the times have independent normal errors of
// their sigmas: the integral over the first's error of the product of the others' tails.
double win_probability(std::span<const RankedLayout> ranking);

// For every axis with more than one value, the best of each value: simulated if there is one, else
// by estimate.
std::vector<Sensitivity> sensitivities(std::span<const RankedLayout> ranking,
                                       std::span<const RankedLayout> estimated);

}  // namespace moesim
