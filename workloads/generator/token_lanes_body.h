// The kernels of token_lanes.h for one width. Included once per instruction set by token_lanes.cpp,
// which defines MOESIM_TARGET (an attribute of every function here), MOESIM_WIDTH (floats in a
// register) and the namespace. No include guard, no includes, nothing of the standard library: an
// inline function of it, compiled here for a wide machine, could be linked in for everybody.

constexpr std::size_t k_width = MOESIM_WIDTH;
constexpr std::size_t k_pieces = k_lanes / k_width;  // registers that hold 16 floats

using Vec = float __attribute__((vector_size(4 * k_width)));
using Mask = std::int32_t __attribute__((vector_size(4 * k_width)));
using Half = float __attribute__((vector_size(2 * k_width)));
using HalfInt = std::int32_t __attribute__((vector_size(2 * k_width)));
using Key = std::uint64_t __attribute__((vector_size(4 * k_width)));

#define MOESIM_INLINE MOESIM_TARGET __attribute__((always_inline)) inline

MOESIM_INLINE Vec load(const float* from) {
  Vec value;
  __builtin_memcpy(&value, from, sizeof(value));
  return value;
}
MOESIM_INLINE void store(float* to, Vec value) { __builtin_memcpy(to, &value, sizeof(value)); }
MOESIM_INLINE Vec splat(float value) { return value - Vec{}; }
MOESIM_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }
MOESIM_INLINE Vec smaller(Vec a, Vec b) { return a < b ? a : b; }

// mix64 of rng.h.
MOESIM_INLINE Key mixed(Key x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

MOESIM_TARGET void bells(const std::uint64_t* keys, const float* strength, std::size_t dimensions,
                         float* out) {
  constexpr std::size_t half = k_width / 2;
  for (std::size_t lane = 0; lane < k_lanes; lane += half) {
    Key key;
    Half scale;
    __builtin_memcpy(&key, keys + lane, sizeof(key));
    __builtin_memcpy(&scale, strength + lane, sizeof(scale));
    for (std::size_t i = 0; i < dimensions; ++i) {
      const Key bits = mixed(key + i);
      const Key sum =
          (bits & 0xFFFFU) + ((bits >> 16) & 0xFFFFU) + ((bits >> 32) & 0xFFFFU) + (bits >> 48);
      const HalfInt centred = __builtin_convertvector(sum, HalfInt) - k_bell_mean;
      const Half value = scale * (__builtin_convertvector(centred, Half) * k_bell_scale);
      __builtin_memcpy(out + i * k_lanes + lane, &value, sizeof(value));
    }
  }
}

MOESIM_TARGET void hidden(const HiddenScale& scale, const float* parts, const std::uint64_t* draws,
                          std::size_t dimensions, float* own, float* h) {
  float strength[k_lanes];
  for (float& value : strength) {
    value = scale.own_new;
  }
  bells(draws, strength, dimensions, h);
  Vec square[k_pieces] = {};
  for (std::size_t i = 0; i < dimensions; ++i) {
    for (std::size_t piece = 0; piece < k_pieces; ++piece) {
      const std::size_t at = i * k_lanes + piece * k_width;
      const Vec state = scale.own_keep * load(own + at) + load(h + at);
      store(own + at, state);
      Vec sum = scale.own * state;
      for (std::size_t part = 0; part < k_parts; ++part) {
        sum += scale.part[part] * load(parts + part * dimensions * k_lanes + at);
      }
      store(h + at, sum);
      square[piece] += sum * sum;
    }
  }
  float norm[k_lanes];
  __builtin_memcpy(norm, square, sizeof(norm));
  for (float& value : norm) {
    value = value > 0.0F ? 1.0F / __builtin_sqrtf(value) : 0.0F;
  }
  for (std::size_t i = 0; i < dimensions; ++i) {
    for (std::size_t lane = 0; lane < k_lanes; lane += k_width) {
      store(h + i * k_lanes + lane, load(h + i * k_lanes + lane) * load(norm + lane));
    }
  }
}

// Eight accumulators: enough to hide the adder's latency, and they fit all register files.
constexpr std::size_t k_tile_tokens = 8 / k_pieces;

MOESIM_TARGET void scores(const float* h, std::size_t dimensions, const float* vectors,
                          const float* base, const float* const* noise, std::size_t padded,
                          std::size_t tokens, float* out) {
  for (std::size_t first = 0; first < tokens; first += k_tile_tokens) {
    const float* v = vectors;
    for (std::size_t e = 0; e < padded; e += k_lanes) {
      Vec sum[k_tile_tokens][k_pieces];
#pragma GCC unroll 8
      for (std::size_t t = 0; t < k_tile_tokens; ++t) {
#pragma GCC unroll 4
        for (std::size_t piece = 0; piece < k_pieces; ++piece) {
          const std::size_t at = e + piece * k_width;
          sum[t][piece] = load(base + at) + load(noise[first + t] + at);
        }
      }
      for (std::size_t i = 0; i < dimensions; ++i, v += k_lanes) {
#pragma GCC unroll 4
        for (std::size_t piece = 0; piece < k_pieces; ++piece) {
          const Vec vector = load(v + piece * k_width);
#pragma GCC unroll 8
          for (std::size_t t = 0; t < k_tile_tokens; ++t) {
            sum[t][piece] += h[i * k_lanes + first + t] * vector;
          }
        }
      }
#pragma GCC unroll 8
      for (std::size_t t = 0; t < k_tile_tokens; ++t) {
#pragma GCC unroll 4
        for (std::size_t piece = 0; piece < k_pieces; ++piece) {
          store(out + (first + t) * padded + e + piece * k_width, sum[t][piece]);
        }
      }
    }
  }
}

// rank[i] = how many of the values are larger, of 16 * blocks values. Strict: equal values share a
// rank.
template <std::size_t blocks>
MOESIM_INLINE void ranks(const float* values, std::int32_t* rank) {
  Mask below[blocks * k_pieces] = {};
  for (std::size_t j = 0; j < blocks * k_lanes; ++j) {
    const Vec value = splat(values[j]);
#pragma GCC unroll 8
    for (std::size_t piece = 0; piece < blocks * k_pieces; ++piece) {
      below[piece] -= value > load(values + piece * k_width);
    }
  }
  __builtin_memcpy(rank, below, sizeof(below));
}

// Two best of each lane.
struct Two {
  Vec first, second;
};

MOESIM_INLINE Two two_of(Two a, Two b) {
  return {larger(a.first, b.first), larger(smaller(a.first, b.first), larger(a.second, b.second))};
}

#if MOESIM_WIDTH == 16
#define MOESIM_EVEN(a, b) \
  __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define MOESIM_ODD(a, b) \
  __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#elif MOESIM_WIDTH == 8
#define MOESIM_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define MOESIM_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#else
#define MOESIM_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define MOESIM_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#endif

// Halves the lanes of two registers and puts them side by side.
MOESIM_INLINE Two joined(Two a, Two b) {
  return two_of({MOESIM_EVEN(a.first, b.first), MOESIM_EVEN(a.second, b.second)},
                {MOESIM_ODD(a.first, b.first), MOESIM_ODD(a.second, b.second)});
}

// Sum and second of the two best of every group, in the order of the groups; k_nothing behind them,
// as far as anything is written.
template <std::size_t groups>
MOESIM_INLINE void best_two(const float* scores, std::size_t size, float* sum, float* second) {
  Two best[groups];
#pragma GCC unroll 16
  for (std::size_t g = 0; g < groups; ++g) {
    const float* of_group = scores + g * size;
    best[g] = {load(of_group), splat(k_nothing)};
    for (std::size_t e = k_width; e < size; e += k_width) {
      const Vec score = load(of_group + e);
      best[g].second = larger(best[g].second, smaller(best[g].first, score));
      best[g].first = larger(best[g].first, score);
    }
  }
  std::size_t left = groups;
#pragma GCC unroll 4
  for (std::size_t lanes = k_width; lanes > 1; lanes /= 2) {
    if (left == 1) {
      best[0] = joined(best[0], {splat(k_nothing), splat(k_nothing)});
      continue;
    }
#pragma GCC unroll 8
    for (std::size_t g = 0; g < left; g += 2) {
      best[g / 2] = joined(best[g], best[g + 1]);
    }
    left /= 2;
  }
  constexpr std::size_t rows = groups > k_width ? groups / k_width : 1;
#pragma GCC unroll 4
  for (std::size_t g = 0; g < rows; ++g) {
    store(sum + g * k_width, best[g].first + best[g].second);
    store(second + g * k_width, best[g].second);
  }
}

// Candidates for the last round. Places behind the last hold k_nothing, as far as anybody looks.
constexpr std::size_t k_most_candidates = 2 * k_lanes;

struct Candidates {
  std::size_t count;
  float score[k_most_candidates + 2 * k_lanes];
  std::int32_t id[k_most_candidates + 2 * k_lanes];
};

// Takes in the values of at least `threshold` among 16.
MOESIM_INLINE void offer(const float* scores, std::size_t first, float threshold,
                         Candidates& candidates) {
  // Too many are given up in the end; until then they must fit.
  const std::size_t end =
      candidates.count < k_most_candidates ? candidates.count : k_most_candidates;
  candidates.count += compress(scores + first, static_cast<std::int32_t>(first), threshold,
                               candidates.score + end, candidates.id + end);
}

// The least of those of 16 values whose rank is below the limit.
MOESIM_INLINE float least_of_best(const float* values, const std::int32_t* rank,
                                  std::int32_t limit) {
  Vec least = splat(-k_nothing);
#pragma GCC unroll 4
  for (std::size_t piece = 0; piece < k_pieces; ++piece) {
    Mask place;
    __builtin_memcpy(&place, rank + piece * k_width, sizeof(place));
    const Vec value = load(values + piece * k_width);
    least = smaller(least, place < limit ? value : splat(-k_nothing));
  }
#pragma GCC unroll 4
  for (std::size_t lanes = k_width; lanes > 1; lanes /= 2) {
    least = smaller(MOESIM_EVEN(least, least), MOESIM_ODD(least, least));
  }
  return least[0];
}

MOESIM_INLINE void offer_groups(const LaneRouter& router, const float* scores,
                                Candidates& candidates) {
  float sum[k_lanes];
  float second[k_lanes];
  std::int32_t rank[k_lanes];
  for (std::size_t g = 0; g < k_lanes; ++g) {
    sum[g] = k_nothing;
    second[g] = k_nothing;
  }
  const std::size_t size = router.experts / router.groups;
  switch (router.groups) {
    case 4:
      best_two<4>(scores, size, sum, second);
      break;
    case 8:
      best_two<8>(scores, size, sum, second);
      break;
    default:
      best_two<16>(scores, size, sum, second);
  }
  ranks<1>(sum, rank);
  // The two best of the chosen groups are 2 top_groups >= top_k candidates, so that nothing below
  // the least of them is chosen. Groups as good as each other choose too many or too few: then
  // there is nothing to go by.
  const auto limit = static_cast<std::int32_t>(router.top_groups);
  const float threshold = least_of_best(second, rank, limit);
  std::size_t chosen = 0;
  for (std::size_t g = 0; g < router.groups; ++g) {
    const bool in = rank[g] < limit;
    chosen += in ? 1U : 0U;
    for (std::size_t e = g * size; e < (g + 1) * size; e += k_lanes) {
      offer(scores, e, in ? threshold : -k_nothing, candidates);
    }
  }
  candidates.count = chosen == router.top_groups ? candidates.count : 0;
}

MOESIM_INLINE void offer_all(const LaneRouter& router, const float* scores,
                             Candidates& candidates) {
  // The k-th of the best of 16 columns bounds the k-th of all.
  float column[k_lanes];
  std::int32_t rank[k_lanes];
#pragma GCC unroll 4
  for (std::size_t piece = 0; piece < k_pieces; ++piece) {
    Vec best = load(scores + piece * k_width);
    for (std::size_t e = k_lanes + piece * k_width; e < router.experts; e += k_lanes) {
      best = larger(best, load(scores + e));
    }
    store(column + piece * k_width, best);
  }
  ranks<1>(column, rank);
  const float threshold = least_of_best(column, rank, static_cast<std::int32_t>(router.top_k));
  for (std::size_t e = 0; e < router.experts; e += k_lanes) {
    offer(scores, e, threshold, candidates);
  }
}

// Writes the best ids in order; false where equal scores leave it open.
template <std::size_t blocks>
MOESIM_INLINE bool settle(const Candidates& candidates, std::size_t top_k, std::uint16_t* ids) {
  std::int32_t rank[blocks * k_lanes];
  ranks<blocks>(candidates.score, rank);
  std::uint16_t place[blocks * k_lanes + 1];
  std::size_t sum = 0;
  for (std::size_t i = 0; i < blocks * k_lanes; ++i) {
    place[rank[i]] = static_cast<std::uint16_t>(candidates.id[i]);
    sum += static_cast<std::size_t>(rank[i]);
  }
  // Ranks 0, 1, ... of the candidates, and all empty places behind them.
  const std::size_t n = candidates.count;
  if (n < top_k || sum != n * (n - 1) / 2 + (blocks * k_lanes - n) * n) {
    return false;
  }
  for (std::size_t k = 0; k < top_k; ++k) {
    ids[k] = place[k];
  }
  return true;
}

MOESIM_TARGET bool select(const LaneRouter& router, const float* scores, std::uint16_t* ids) {
  Candidates candidates;
  candidates.count = 0;
  for (std::size_t i = 0; i < k_most_candidates; ++i) {
    candidates.score[i] = k_nothing;
    candidates.id[i] = 0;
  }
  if (router.groups > 1) {
    offer_groups(router, scores, candidates);
  } else {
    offer_all(router, scores, candidates);
  }
  if (candidates.count <= k_lanes) {
    return settle<1>(candidates, router.top_k, ids);
  }
  return candidates.count <= k_most_candidates && settle<2>(candidates, router.top_k, ids);
}

#undef MOESIM_EVEN
#undef MOESIM_ODD
#undef MOESIM_INLINE
