#include "calibrate/cuda/families.h"
#include "calibrate/cuda/host/expert_routing.h"
#include "calibrate/cuda/host/small_grids.h"
#include "calibrate/cuda/kernels/fill.h"
#include "calibrate/cuda/kernels/routing.h"
#include "calibrate/cuda/kernels/small.h"

namespace moesim::bench {
namespace {

std::size_t product(std::int64_t a, std::int64_t b) { return static_cast<std::size_t>(a * b); }

Bytes in_bytes(std::size_t bytes) { return Bytes(static_cast<double>(bytes)); }

RotatingBuffer random_buffer(const Bench& bench, std::size_t values, Format format, int sets) {
  RotatingBuffer buffer(values * static_cast<std::size_t>(value_bytes(format)), sets);
  fill_random(buffer.set(0), buffer.bytes(), format, 1, bench.stream());
  return buffer;
}

std::vector<double> measure(const Bench& bench, const PermuteCase& c) {
  const RankRouting routing = route_to_busiest_rank(
      {Format::bfloat16, c.tokens, c.hidden, 0, c.top_k, c.experts, 1, 1, 0}, 1);
  const int tokens = static_cast<int>(c.tokens);
  const int top_k = static_cast<int>(c.top_k);
  const int pairs = static_cast<int>(routing.pairs);
  const std::size_t row_bytes = product(c.hidden, 2);
  const int sets = bench.sets_of(in_bytes(row_bytes * product(c.tokens, c.top_k + 1)));
  const RotatingBuffer by_token =
      random_buffer(bench, product(c.tokens, c.hidden), Format::bfloat16, sets);
  const RotatingBuffer by_expert =
      random_buffer(bench, product(routing.pairs, c.hidden), Format::bfloat16, sets);
  const RotatingBuffer weights =
      random_buffer(bench, product(c.tokens, c.top_k), Format::float32, 1);
  const RotatingBuffer choices = uploaded(std::span(routing.choices));
  constexpr std::size_t index = sizeof(std::int32_t);
  const RotatingBuffer offsets(product(c.experts + 1, index), 2);
  const RotatingBuffer row_of_pair(product(c.tokens, c.top_k) * index, 1);
  const RotatingBuffer token_of_row(product(routing.pairs, index), 1);
  build_permutation(choices.set<std::int32_t>(0), tokens, top_k, static_cast<int>(c.experts),
                    offsets.set<std::int32_t>(0), offsets.set<std::int32_t>(1),
                    row_of_pair.set<std::int32_t>(0), token_of_row.set<std::int32_t>(0),
                    bench.stream());
  return bench.time(sets, Replay::graph, [&](int set) {
    if (c.unpermute) {
      sum_rows(by_expert.set(set), row_of_pair.set<std::int32_t>(0), weights.set<float>(0), tokens,
               top_k, static_cast<int>(c.hidden), false, by_token.set(set), bench.stream());
    } else {
      permute_rows(by_token.set(set), token_of_row.set<std::int32_t>(0), pairs, row_bytes,
                   by_expert.set(set), bench.stream());
    }
  });
}

std::vector<double> measure(const Bench& bench, const GateCase& c) {
  const std::size_t logits_count = product(c.tokens, c.experts);
  const std::size_t chosen = product(c.tokens, c.top_k);
  const int sets = bench.sets_of(in_bytes(4 * logits_count + 8 * chosen));
  const RotatingBuffer logits = random_buffer(bench, logits_count, Format::float32, sets);
  const RotatingBuffer experts(4 * chosen, sets);
  const RotatingBuffer weights(4 * chosen, sets);
  return bench.time(sets, Replay::graph, [&](int set) {
    gate(logits.set<float>(set), static_cast<int>(c.tokens), static_cast<int>(c.experts),
         static_cast<int>(c.top_k), experts.set<std::int32_t>(set), weights.set<float>(set),
         bench.stream());
  });
}

std::vector<double> measure(const Bench& bench, const NormCase& c) {
  const std::size_t count = product(c.rows, c.width);
  const int sets = bench.sets_of(in_bytes(4 * count));
  const RotatingBuffer x = random_buffer(bench, count, Format::bfloat16, sets);
  const RotatingBuffer weight = random_buffer(bench, product(c.width, 1), Format::bfloat16, 1);
  const RotatingBuffer out(2 * count, sets);
  const int rows = static_cast<int>(c.rows);
  const int width = static_cast<int>(c.width);
  return bench.time(sets, Replay::graph, [&](int set) {
    if (c.softmax) {
      softmax_rows(x.set(set), rows, width, out.set(set), bench.stream());
    } else {
      rms_norm(x.set(set), weight.set(0), rows, width, out.set(set), bench.stream());
    }
  });
}

std::vector<double> measure(const Bench& bench, const ConvertCase& c) {
  const std::size_t count = product(c.m, c.k);
  const int sets = bench.sets_of(in_bytes(3 * count));
  // Large enough for either side; 4-bit values are any bits.
  const bool widens =
      c.conversion == Conversion::fp8_to_bf16 || c.conversion == Conversion::int4_to_bf16;
  const RotatingBuffer in =
      random_buffer(bench, count, widens ? Format::fp8 : Format::bfloat16, sets);
  const RotatingBuffer out(widens ? 2 * count : count, sets);
  const RotatingBuffer scales(count / 128 * sizeof(float), 1);
  fill_constant(scales.set<float>(0), count / 128, 0.01F, bench.stream());
  const int m = static_cast<int>(c.m);
  const int k = static_cast<int>(c.k);
  auto* scale = scales.set<float>(0);
  return bench.time(sets, Replay::graph, [&](int set) {
    switch (c.conversion) {
      case Conversion::find_scale_to_fp8:
        find_scale(in.set(set), count, scale, bench.stream());
        scale_to_fp8(in.set(set), count, scale, out.set(set), bench.stream());
        break;
      case Conversion::scale_to_fp8:
        scale_to_fp8(in.set(set), count, scale, out.set(set), bench.stream());
        break;
      case Conversion::fp8_to_bf16:
        fp8_to_bf16(in.set(set), m, k, scale, out.set(set), bench.stream());
        break;
      case Conversion::int4_to_bf16:
        int4_to_bf16(in.set(set), m, k, scale, out.set(set), bench.stream());
        break;
    }
  });
}

template <class Case>
void run_grid(Bench& bench, const std::vector<Case>& grid) {
  bench.each(grid, [&](const Case& c) { return measure(bench, c); });
}

}  // namespace

void run_small(Bench& bench) {
  run_grid(bench, permute_grid(bench.quick()));
  run_grid(bench, gate_grid(bench.quick()));
  run_grid(bench, norm_grid(bench.quick()));
  run_grid(bench, convert_grid(bench.quick()));
}

}  // namespace moesim::bench
