#include "calibrate/cuda/families.h"
#include "calibrate/cuda/host/attention_grids.h"
#include "calibrate/cuda/kernels/attention.h"
#include "calibrate/cuda/kernels/fill.h"

namespace moesim::bench {
namespace {

std::size_t product(int a, int b, int c, int d) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c) *
         static_cast<std::size_t>(d);
}

RotatingBuffer random_values(const Bench& bench, std::size_t values, Format format, int sets) {
  RotatingBuffer buffer(values * static_cast<std::size_t>(value_bytes(format)), sets);
  fill_random(buffer.set(0), buffer.bytes(), format, static_cast<std::uint32_t>(values),
              bench.stream());
  return buffer;
}

std::vector<double> time_prefill(const Bench& bench, const PrefillShape& s) {
  const std::size_t q_values = product(s.batch, s.length, s.heads, s.qk_dim);
  const std::size_t k_values = product(s.batch, s.length, s.kv_heads, s.qk_dim);
  const std::size_t v_values = product(s.batch, s.length, s.kv_heads, s.v_dim);
  const std::size_t out_values = product(s.batch, s.length, s.heads, s.v_dim);
  const int sets =
      bench.sets_of(Bytes(2.0 * static_cast<double>(q_values + k_values + v_values + out_values)));
  const RotatingBuffer q = random_values(bench, q_values, Format::bfloat16, sets);
  const RotatingBuffer k = random_values(bench, k_values, Format::bfloat16, sets);
  const RotatingBuffer v = random_values(bench, v_values, Format::bfloat16, sets);
  const RotatingBuffer out(2 * out_values, sets);
  return bench.time(sets, Replay::graph, [&](int set) {
    prefill_attention(s, q.set(set), k.set(set), v.set(set), out.set(set), bench.stream());
  });
}

std::vector<double> time_decode(const Bench& bench, DecodeShape s) {
  s.splits = decode_splits(s, bench.multiprocessors());
  const bool latent = s.qk_dim != s.v_dim;
  const Format cache = s.fp8_cache ? Format::fp8 : Format::bfloat16;
  const std::size_t q_values = product(s.batch, 1, s.heads, s.qk_dim);
  const std::size_t out_values = product(s.batch, 1, s.heads, s.v_dim);
  const std::size_t k_values = product(s.batch, s.length, s.kv_heads, s.qk_dim);
  const std::size_t v_values = latent ? 0 : product(s.batch, s.length, s.kv_heads, s.v_dim);
  const int sets =
      bench.sets_of(Bytes(value_bytes(cache) * static_cast<double>(k_values + v_values) +
                          2.0 * static_cast<double>(q_values + out_values)));
  const RotatingBuffer q = random_values(bench, q_values, Format::bfloat16, sets);
  const RotatingBuffer k = random_values(bench, k_values, cache, sets);
  const RotatingBuffer v = random_values(bench, v_values, cache, sets);
  const RotatingBuffer out(2 * out_values, sets);
  const RotatingBuffer scratch(decode_scratch(s) * sizeof(float), 1);
  return bench.time(sets, Replay::graph, [&](int set) {
    decode_attention(s, q.set(set), k.set(set), v.set(set), scratch.set<float>(0), out.set(set),
                     bench.stream());
  });
}

std::vector<double> measure(const Bench& bench, const AttentionCase& a) {
  const int batch = static_cast<int>(a.batch);
  const int length = static_cast<int>(a.length);
  const int heads = static_cast<int>(a.heads);
  const int kv_heads = static_cast<int>(a.kv_heads);
  const int dim = static_cast<int>(a.head_dim);
  if (a.context) {
    return time_prefill(bench, {batch, length, heads, kv_heads, dim, dim});
  }
  return time_decode(bench, {batch, length, heads, kv_heads, dim, dim, a.fp8_cache, 1});
}

std::vector<double> measure(const Bench& bench, const MlaCase& a) {
  const int batch = static_cast<int>(a.batch);
  const int length = static_cast<int>(a.length);
  const int heads = static_cast<int>(a.heads);
  if (a.context) {
    return time_prefill(
        bench, {batch, length, heads, heads, static_cast<int>(mla_nope + mla_rope), mla_value});
  }
  return time_decode(bench, {batch, length, heads, 1, static_cast<int>(mla_latent + mla_rope),
                             mla_latent, a.fp8_cache, 1});
}

}  // namespace

void run_attention(Bench& bench) {
  for (const bool context : {true, false}) {
    bench.each(attention_grid(context, bench.quick()),
               [&](const AttentionCase& a) { return measure(bench, a); });
    bench.each(mla_grid(context, bench.quick()),
               [&](const MlaCase& a) { return measure(bench, a); });
  }
}

}  // namespace moesim::bench
