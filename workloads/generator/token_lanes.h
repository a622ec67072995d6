// Sixteen tokens of a layer at a time, in vector registers: hidden states, scores, choices.
// Compiled for several instruction sets; all give the same bits: nothing is fused or reassociated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace moesim::detail {

inline constexpr std::size_t k_lanes = 16;

// What a token's hidden state is made of besides its own state: token, request, context and fast
// context, as they are in the first layer, then as in the last.
inline constexpr std::size_t k_components = 4;
inline constexpr std::size_t k_parts = 2 * k_components;

// One layer's weights of the parts and of the own state, and how the own state is carried on.
struct HiddenScale {
  std::array<float, k_parts> part;
  float own;
  float own_keep;
  float own_new;
};

// Routers of which tokens can be selected in lanes: without groups (groups = 1), or the best
// top_groups of 4, 8 or 16 groups; whole blocks of 16 experts per group.
struct LaneRouter {
  std::size_t experts;
  std::size_t groups;
  std::size_t top_groups;
  std::size_t top_k;
};

struct LaneKernels {
  const char* name;

  // out[i][lane] = strength[lane] * bell(mix64(keys[lane] + i)), i < dimensions.
  void (*bells)(const std::uint64_t* keys, const float* strength, std::size_t dimensions,
                float* out);

  // Advances own[i][lane] by one layer and writes h[i][lane], |h| = 1 over i, from
  // parts[part][i][lane]; `draws` are the lanes' keys of this layer's draws.
  void (*hidden)(const HiddenScale& scale, const float* parts, const std::uint64_t* draws,
                 std::size_t dimensions, float* own, float* h);

  // scores[lane][e] = base[e] + noise[lane][e] + sum over i of h[i][lane] * v[i][e], the sum in the
  // order of i, for the first `tokens` lanes (and perhaps others) and e < padded, a multiple of 16.
  // vectors: [block of 16 experts][i][16].
  void (*scores)(const float* h, std::size_t dimensions, const float* vectors, const float* base,
                 const float* const* noise, std::size_t padded, std::size_t tokens, float* scores);

  // Writes the top_k ids of one token, best first. False, and nothing written, where equal scores
  // or their like ask for the plain selector.
  bool (*select)(const LaneRouter& router, const float* scores, std::uint16_t* ids);
};

// The fastest that this machine can run.
const LaneKernels& lane_kernels();
// All that it can run, plainest first.
std::vector<const LaneKernels*> all_lane_kernels();

// Whether `select` may be asked for such a router.
bool selects_in_lanes(const LaneRouter& router);

}  // namespace moesim::detail
