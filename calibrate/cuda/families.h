// The families of benchmarks; registry.cpp lists them.
#pragma once

#include <string_view>
#include <vector>

#include "calibrate/cuda/bench.h"

namespace moesim::bench {

struct Family {
  std::string_view name;
  std::string_view summary;
  // Every case there is, for so many devices; needs none.
  std::vector<PlannedCase> (*plan)(int devices, bool quick);
  void (*run)(Bench& bench);
};
const std::vector<Family>& families();

void run_gemm(Bench& bench);
void run_moe(Bench& bench);
void run_attention(Bench& bench);
void run_copies(Bench& bench);
void run_collectives(Bench& bench);
void run_small(Bench& bench);
void run_launch(Bench& bench);
void run_sharing(Bench& bench);

}  // namespace moesim::bench
