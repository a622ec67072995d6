// The cases of attention: prefill and decode, grouped-query and latent (MLA).
#pragma once

#include <vector>

#include "calibrate/cuda/host/bench_case.h"

namespace moesim::bench {

// DeepSeek's widths, the only ones in the published tables.
inline constexpr std::int64_t mla_latent = 512;
inline constexpr std::int64_t mla_rope = 64;
inline constexpr std::int64_t mla_nope = 128;
inline constexpr std::int64_t mla_value = 128;

// Context: `length` new tokens of each sequence attend causally to each other. Generation: one new
// token per sequence attends to `length` cached ones, itself included.
struct AttentionCase {
  bool context = false;
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  bool fp8_cache = false;  // else bf16; context attention has no cache in this benchmark
};
std::vector<AttentionCase> attention_grid(bool context, bool quick);
PlannedCase planned(const AttentionCase& attention);

// Context: per-head keys (nope + rope) and values, as after the up-projection. Generation: the
// absorbed form, all heads share the cached latent and rope part.
struct MlaCase {
  bool context = false;
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t heads = 0;
  bool fp8_cache = false;
};
std::vector<MlaCase> mla_grid(bool context, bool quick);
PlannedCase planned(const MlaCase& mla);

}  // namespace moesim::bench
