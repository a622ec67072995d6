// Inside of the model reader: shared by its two sources only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "models/network/moe_model.h"
#include "sim/core/config.h"

namespace moesim {

// Far above every published model; products of three still fit 64 bits.
namespace model_limits {
inline constexpr std::int64_t hidden = 1 << 20;
inline constexpr std::int64_t inter = 1 << 22;
inline constexpr std::int64_t heads = 1 << 14;
inline constexpr std::int64_t head_dim = 1 << 14;
inline constexpr std::int64_t channels = 1 << 20;  // of Mamba-1
inline constexpr std::int64_t tokens = 1LL << 40;  // windows
inline constexpr std::int64_t norms = 64;
inline constexpr std::int64_t experts = 65535;  // ids are 16 bits wide
inline constexpr std::int64_t shared = 1 << 10;
inline constexpr std::int64_t layers = 10000;
inline constexpr std::int64_t vocabulary = 1 << 27;
inline constexpr std::int64_t ffn_entries = 16;
inline constexpr std::int64_t rounds = 64;
inline constexpr double bits = 64;
}  // namespace model_limits

Attention parse_attention(ConfigObject object);
FfnGroup parse_ffn(ConfigObject object);

}  // namespace moesim
