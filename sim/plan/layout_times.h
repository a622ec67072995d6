// How long an iteration takes at least, and about, without simulating it.
#pragma once

#include "sim/plan/layout_judge.h"
#include "sim/plan/search_space.h"

namespace moesim {

// FLOPs of products with weights alone (attention's own and everything else take time too).
struct WeightFlops {
  double layers = 0.0;  // of an iteration's forwards: 2 per active parameter and token
  double head = 0.0;
  double per_s = 0.0;  // of one device, at the peak of the fastest format in use
};
WeightFlops weight_flops(const PlanProblem& problem, double peak_flops_per_s,
                         double capacity_factor);

// A layout's own work on every device at peak: forwards, twice as much for backwards, once more
// where everything is worked out again.
Seconds work_at_peak(const PlanProblem& problem, const WeightFlops& flops,
                     const TrainLayout& layout);

// No layout is faster: its work at peak. Where all stages run as many layers in 1F1B's, GPipe's or
// the interleaved order, the last stage also waits for the first micro-batch: (P - 1)/v of its
// share.
Seconds least_time(const PlanProblem& problem, const WeightFlops& flops, const TrainLayout& layout);

// How much longer than at peak a mean stage of the probe works.
double pace(const PlanProblem& problem, const WeightFlops& flops, const LayoutProbe& probe,
            const TrainLayout& layout);

// What remains exposed of an exchange of all of a stage's weights or gradients in v chunks of a
// stage, of which `exposed` was with one chunk, beside one `pass` of a micro-batch. The chunks'
// exchanges follow each other beside the passes of all min(P, M) micro-batches of a group, so that
// (v - 1)/v of the others' passes hide more of it; the share of the chunk that is needed first (of
// weights) or done last (of gradients) is as exposed as before.
Seconds exposed_once(Seconds exposed, Seconds pass, const TrainLayout& layout,
                     std::int64_t micro_batches);

// The layout's time if its stages take what the probe's took: with t_s a micro-batch's forward and
// backward on stage s, M times the largest, the others' once on the way in and out, divided by the
// chunks, and what comes once, exposed as above.
Seconds estimated_time(const LayoutProbe& probe, const TrainLayout& layout,
                       std::int64_t micro_batches);

}  // namespace moesim
