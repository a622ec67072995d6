#include "workloads/generator/token_lanes.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace moesim::detail {
namespace {

// The sum of four uniforms of 16 bits, centred and of variance 1 (bell() of latent.h).
constexpr std::int32_t k_bell_mean = 2 * 0xFFFF;
constexpr float k_bell_scale = 2.6429207e-05F;  // 1 / sqrt(4 * (65536^2 - 1) / 12)

constexpr float k_nothing = -__builtin_inff();

// compress(): values of at least `threshold` among 16, in order, and their ids first + i. Returns
// how many; may write k_nothing into the places behind them, 16 places in all. Here from a bit per
// value.
inline std::size_t compress_bits(std::uint32_t bits, const float* values, std::int32_t first,
                                 float* kept, std::int32_t* kept_id) {
  std::size_t count = 0;
  for (; bits != 0; bits &= bits - 1) {
    const int at = __builtin_ctz(bits);
    kept[count] = values[at];
    kept_id[count++] = first + at;
  }
  return count;
}

#if defined(__x86_64__)

namespace sse2 {
#define MOESIM_TARGET
#define MOESIM_WIDTH 4
inline std::size_t compress(const float* values, std::int32_t first, float threshold, float* kept,
                            std::int32_t* kept_id) {
  const __m128 least = _mm_set1_ps(threshold);
  std::uint32_t bits = 0;
  for (std::uint32_t i = 0; i < k_lanes; i += 4) {
    const int found = _mm_movemask_ps(_mm_cmpge_ps(_mm_loadu_ps(values + i), least));
    bits |= static_cast<std::uint32_t>(found) << i;
  }
  return compress_bits(bits, values, first, kept, kept_id);
}
#include "workloads/generator/token_lanes_body.h"
#undef MOESIM_TARGET
#undef MOESIM_WIDTH
constexpr LaneKernels kernels{"sse2", bells, hidden, scores, select};
}  // namespace sse2

namespace avx2 {
#define MOESIM_TARGET __attribute__((target("avx2")))
#define MOESIM_WIDTH 8
MOESIM_TARGET inline std::size_t compress(const float* values, std::int32_t first, float threshold,
                                          float* kept, std::int32_t* kept_id) {
  const __m256 least = _mm256_set1_ps(threshold);
  const auto found = [=](const float* from) __attribute__((target("avx2"))) {
    return static_cast<std::uint32_t>(
        _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(from), least, _CMP_GE_OQ)));
  };
  return compress_bits(found(values) | found(values + 8) << 8, values, first, kept, kept_id);
}
#include "workloads/generator/token_lanes_body.h"
#undef MOESIM_TARGET
#undef MOESIM_WIDTH
constexpr LaneKernels kernels{"avx2", bells, hidden, scores, select};
}  // namespace avx2

namespace avx512 {
#define MOESIM_TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,popcnt")))
#define MOESIM_WIDTH 16
MOESIM_TARGET inline std::size_t compress(const float* values, std::int32_t first, float threshold,
                                          float* kept, std::int32_t* kept_id) {
  const __m512 all = _mm512_loadu_ps(values);
  const __mmask16 found = _mm512_cmp_ps_mask(all, _mm512_set1_ps(threshold), _CMP_GE_OQ);
  const __m512i ids =
      _mm512_add_epi32(_mm512_set1_epi32(first),
                       _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  _mm512_storeu_ps(kept, _mm512_mask_compress_ps(_mm512_set1_ps(k_nothing), found, all));
  _mm512_storeu_si512(kept_id, _mm512_maskz_compress_epi32(found, ids));
  return static_cast<std::size_t>(__builtin_popcount(found));
}
#include "workloads/generator/token_lanes_body.h"
#undef MOESIM_TARGET
#undef MOESIM_WIDTH
constexpr LaneKernels kernels{"avx512", bells, hidden, scores, select};
}  // namespace avx512

#else

namespace plain {
#define MOESIM_TARGET
#define MOESIM_WIDTH 4
inline std::size_t compress(const float* values, std::int32_t first, float threshold, float* kept,
                            std::int32_t* kept_id) {
  std::uint32_t bits = 0;
  for (std::uint32_t i = 0; i < k_lanes; ++i) {
    bits |= (values[i] >= threshold ? 1U : 0U) << i;
  }
  return compress_bits(bits, values, first, kept, kept_id);
}
#include "workloads/generator/token_lanes_body.h"
#undef MOESIM_TARGET
#undef MOESIM_WIDTH
constexpr LaneKernels kernels{"plain", bells, hidden, scores, select};
}  // namespace plain

#endif

}  // namespace

std::vector<const LaneKernels*> all_lane_kernels() {
#if defined(__x86_64__)
  std::vector<const LaneKernels*> found = {&sse2::kernels};
  if (__builtin_cpu_supports("avx2")) {
    found.push_back(&avx2::kernels);
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
    found.push_back(&avx512::kernels);
  }
  return found;
#else
  return {&plain::kernels};
#endif
}

const LaneKernels& lane_kernels() { return *all_lane_kernels().back(); }

bool selects_in_lanes(const LaneRouter& router) {
  if (router.groups == 1) {
    return router.experts % k_lanes == 0 && router.experts >= k_lanes && router.top_k <= k_lanes;
  }
  const bool countable = router.groups == 4 || router.groups == 8 || router.groups == 16;
  return countable && router.experts % (router.groups * k_lanes) == 0 &&
         router.top_k <= 2 * router.top_groups && router.top_k <= k_lanes;
}

}  // namespace moesim::detail
