#include "calibrate/cuda/host/attention_grids.h"

#include <array>

#include "calibrate/cuda/host/compute_grids.h"

namespace moesim::bench {
namespace {

using Sizes = std::vector<std::int64_t>;

struct Heads {
  std::int64_t queries;
  std::int64_t keys;
};
constexpr std::array head_grid{Heads{8, 1},  Heads{16, 2}, Heads{32, 4},
                               Heads{32, 8}, Heads{64, 8}, Heads{32, 32}};
// Tokens of a case: more only repeats the same blocks.
constexpr std::int64_t most_new_tokens = 65536;
constexpr std::int64_t most_cached_tokens = std::int64_t{1} << 22;
constexpr std::int64_t longest_prefill = 16384;
constexpr double most_splits = 64;

struct Lengths {
  std::int64_t batch;
  std::int64_t length;
};

std::vector<Lengths> lengths(bool context, bool quick) {
  Sizes batches{1, 2, 4, 8, 16};
  Sizes tokens{16, 128, 512, 1024, 2048, 4096, 8192, longest_prefill};
  if (!context) {
    batches = {1, 4, 16, 64, 256, 512};
    tokens = {2, 64, 256, 1024, 4096, 16384, 65536, 131072};
  }
  if (quick) {
    batches = {1, 16};
    tokens = {1024};
  }
  std::vector<Lengths> grid;
  for (const std::int64_t batch : batches) {
    for (const std::int64_t length : tokens) {
      if (batch * length <= (context ? most_new_tokens : most_cached_tokens)) {
        grid.push_back({batch, length});
      }
    }
  }
  return grid;
}

const Table& attention_table(bool context) {
  static const std::vector<std::string> columns{"kernel_source", "batch_size",          "isl",
                                                "num_heads",     "num_key_value_heads", "head_dim",
                                                "attn_dtype",    "kv_cache_dtype",      "step"};
  static const Table prefill{"context_attention", columns};
  static const Table decode{"generation_attention", columns};
  return context ? prefill : decode;
}

const Table& mla_table(bool context) {
  static const std::vector<std::string> columns{"kernel_source", "mla_dtype",  "kv_cache_dtype",
                                                "num_heads",     "batch_size", "isl",
                                                "tp_size",       "step"};
  static const Table prefill{"context_mla", columns};
  static const Table decode{"generation_mla", columns};
  return context ? prefill : decode;
}

std::string kernel_name(bool context) {
  return context ? "moesim_flash_prefill" : "moesim_split_kv_decode";
}

// The tables split the cached tokens of a decode step into the new one and `step` before it.
std::string new_tokens(bool context, std::int64_t length) { return text(context ? length : 1); }
std::string step(bool context, std::int64_t length) { return text(context ? 0 : length - 1); }

double number(std::int64_t value) { return static_cast<double>(value); }

// Partial results of the splits, in fp32 with their maxima and sums.
double scratch_bytes(bool context, std::int64_t batch, std::int64_t heads, std::int64_t value_dim) {
  return context ? 0 : most_splits * number(batch) * number(heads) * number(value_dim + 2) * 4;
}

}  // namespace

std::vector<AttentionCase> attention_grid(bool context, bool quick) {
  std::vector<AttentionCase> grid;
  for (const std::int64_t head_dim : quick ? Sizes{128} : Sizes{64, 128}) {
    for (const Heads& heads : head_grid) {
      for (const Lengths& sizes : lengths(context, quick)) {
        for (const bool fp8_cache : context ? std::vector{false} : std::vector{false, true}) {
          grid.push_back(
              {context, sizes.batch, sizes.length, heads.queries, heads.keys, head_dim, fp8_cache});
        }
      }
    }
  }
  return grid;
}

PlannedCase planned(const AttentionCase& a) {
  const double queries = number(a.batch) * number(a.context ? a.length : 1) * number(a.heads);
  const double cached = number(a.batch) * number(a.length) * number(a.kv_heads);
  const double bytes = number(a.head_dim) * (queries * 4 + cached * (a.fp8_cache ? 2 : 4)) +
                       scratch_bytes(a.context, a.batch, a.heads, a.head_dim);
  return {&attention_table(a.context),
          {kernel_name(a.context), text(a.batch), new_tokens(a.context, a.length), text(a.heads),
           text(a.kv_heads), text(a.head_dim), "bfloat16", a.fp8_cache ? "fp8" : "bfloat16",
           step(a.context, a.length)},
          Bytes(bytes) + rotation_reserve};
}

std::vector<MlaCase> mla_grid(bool context, bool quick) {
  std::vector<MlaCase> grid;
  for (const std::int64_t heads : quick ? Sizes{128} : Sizes{16, 32, 64, 128}) {
    for (const Lengths& sizes : lengths(context, quick)) {
      for (const bool fp8_cache : context ? std::vector{false} : std::vector{false, true}) {
        grid.push_back({context, sizes.batch, sizes.length, heads, fp8_cache});
      }
    }
  }
  return grid;
}

PlannedCase planned(const MlaCase& a) {
  const double tokens = number(a.batch) * number(a.length);
  const double heads = number(a.heads);
  double bytes = 0;
  if (a.context) {
    bytes = tokens * heads * 2 * number(2 * (mla_nope + mla_rope) + 2 * mla_value);
  } else {
    const double cached = tokens * number(mla_latent + mla_rope) * (a.fp8_cache ? 1 : 2);
    const double queries = number(a.batch) * heads * 2 * number(2 * mla_latent + mla_rope);
    bytes = cached + queries + scratch_bytes(false, a.batch, a.heads, mla_latent);
  }
  return {&mla_table(a.context),
          {kernel_name(a.context), "bfloat16", a.fp8_cache ? "fp8" : "bfloat16", text(a.heads),
           text(a.batch), new_tokens(a.context, a.length), "1", step(a.context, a.length)},
          Bytes(bytes) + rotation_reserve};
}

}  // namespace moesim::bench
