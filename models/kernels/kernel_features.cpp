// What the corrections of kernel times look at: sizes, how full waves and tiles are, and which of
// the form's terms dominates.
#include <algorithm>
#include <bit>

#include "models/kernels/kernel_correction.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 11> gemm_features{
    "m",         "n",         "k",   "batch",          "m_alignment", "m*n",
    "wave_fill", "wide_fill", "n*k", "compute/memory", "fixed"};
// Not the layer's own widths: with a dozen of measured layers they would be names, not sizes.
constexpr std::array<std::string_view, 11> moe_features{
    "tokens",    "local_experts", "touched", "pairs",          "busiest", "pairs_per_expert",
    "tile_fill", "skew",          "columns", "compute/memory", "fixed"};
constexpr std::array<std::string_view, 10> attention_features{
    "sequences", "query_len", "context", "heads",          "kv_heads",
    "head_dim",  "group",     "items",   "compute/memory", "fixed"};
constexpr std::array<std::string_view, 7> mla_features{
    "sequences", "query_len", "context", "heads", "items", "compute/memory", "fixed"};
constexpr std::array<std::string_view, 2> memory_features{"read", "written"};
constexpr std::array<std::string_view, 11> window_features{
    "sequences", "query_len", "context",        "heads", "kv_heads", "head_dim",
    "group",     "items",     "compute/memory", "fixed", "window"};
constexpr std::array<std::string_view, 4> counted_features{"sequences", "query_len", "context",
                                                           "heads"};

constexpr double k_tile = 128;

float log_ratio(double a, double b) {
  constexpr double least = 1e-30;
  return std::clamp(log2_coordinate(std::max(a, least)) - log2_coordinate(std::max(b, least)),
                    -30.0F, 30.0F);
}

// Largest power of two, up to 64, that divides m: vector loads and copy engines want aligned rows.
float alignment(double m) {
  const auto rows = static_cast<std::uint64_t>(m);
  return rows == 0 ? 6.0F : static_cast<float>(std::min(std::countr_zero(rows), 6));
}

}  // namespace

float log2_coordinate(double x) {
  // Exponent and mantissa of a double, read as a fixed-point number, are that logarithm.
  constexpr std::int64_t one = 0x3ff0000000000000;
  constexpr double unit = 0x1p-52;
  return static_cast<float>(static_cast<double>(std::bit_cast<std::int64_t>(x) - one) * unit);
}

std::span<const std::string_view> feature_names(KernelKind kind) {
  switch (kind) {
    case KernelKind::gemm:
    case KernelKind::batched_gemm:
      return gemm_features;
    case KernelKind::moe:
    case KernelKind::moe_ungated:
    case KernelKind::mlp:
      return moe_features;
    case KernelKind::attention_context:
    case KernelKind::attention_decode:
      return attention_features;
    case KernelKind::attention_window_context:
    case KernelKind::attention_window_decode:
      return window_features;
    case KernelKind::mla_context:
    case KernelKind::mla_decode:
    case KernelKind::mla_module_context:
    case KernelKind::mla_module_decode:
      return mla_features;
    case KernelKind::memory:
      return memory_features;
    case KernelKind::linear_context:
    case KernelKind::linear_decode:
    case KernelKind::convolution_context:
    case KernelKind::convolution_decode:
    case KernelKind::indexer_context:
    case KernelKind::indexer_decode:
    case KernelKind::sparse_context:
    case KernelKind::sparse_decode:
      return counted_features;
  }
  throw InvariantError("every kernel kind has features");
}

std::optional<std::size_t> interpolated_feature(KernelKind kind) {
  const KernelKind plain = without_window(kind);
  if (plain != KernelKind::attention_context && plain != KernelKind::attention_decode) {
    return std::nullopt;
  }
  const auto found = std::ranges::find(attention_features, "head_dim");
  return static_cast<std::size_t>(found - attention_features.begin());
}

FeatureVector features_of(const KernelShape& shape, const KernelEstimate& form,
                          const KernelContext& context) {
  const KernelDims& d = shape.dims;
  const auto log_of = [](double x) { return log2_coordinate(std::max(x, 0x1p-30)); };
  const float balance = log_ratio(form.compute.si(), form.memory.si());
  const auto fixed = static_cast<float>(form.fixed.si() / form.alone().si());
  switch (shape.key.kind) {
    case KernelKind::gemm:
    case KernelKind::batched_gemm: {
      // How full the last wave is, with square tiles and with twice as wide ones.
      const auto fill = [&](double width) {
        const double waves = detail::ceil_div(d[dim::m], k_tile) *
                             detail::ceil_div(d[dim::n], width) * d[dim::batch] / context.sms;
        return static_cast<float>(waves / detail::ceil_div(waves, 1));
      };
      return {log_of(d[dim::m]),
              log_of(d[dim::n]),
              log_of(d[dim::k]),
              log_of(d[dim::batch]),
              alignment(d[dim::m]),
              log_of(d[dim::m] * d[dim::n]),
              fill(k_tile),
              fill(2 * k_tile),
              log_of(d[dim::n] * d[dim::k]),
              balance,
              fixed};
    }
    case KernelKind::moe:
    case KernelKind::moe_ungated:
    case KernelKind::mlp: {
      const double touched = std::max(d[dim::touched], 1e-3);
      const double columns = (d[dim::matrices] - 1) * d[dim::inter];
      return {log_of(d[dim::tokens]),
              log_of(d[dim::local_experts]),
              log_of(touched),
              log_of(d[dim::pairs]),
              log_of(d[dim::busiest]),
              log_ratio(d[dim::pairs], touched),
              static_cast<float>(d[dim::pairs] / (64 * std::max(d[dim::tiles_64], 1e-3))),
              log_ratio(d[dim::busiest] * touched, d[dim::pairs]),
              log_of(touched * detail::ceil_div(columns, k_tile)),
              balance,
              fixed};
    }
    case KernelKind::attention_context:
    case KernelKind::attention_decode:
    case KernelKind::attention_window_context:
    case KernelKind::attention_window_decode: {
      const bool decode = without_window(shape.key.kind) == KernelKind::attention_decode;
      const double heads = decode ? d[dim::kv_heads] : d[dim::heads];
      return {log_of(d[dim::sequences]),
              log_of(d[dim::query_len]),
              log_of(d[dim::context]),
              log_of(d[dim::heads]),
              log_of(d[dim::kv_heads]),
              log_of(d[dim::head_dim]),
              log_ratio(d[dim::heads], d[dim::kv_heads]),
              log_of(d[dim::sequences] * heads),
              balance,
              fixed,
              log_of(d[dim::window])};
    }
    case KernelKind::mla_context:
    case KernelKind::mla_decode:
    case KernelKind::mla_module_context:
    case KernelKind::mla_module_decode:
      return {log_of(d[dim::sequences]),
              log_of(d[dim::query_len]),
              log_of(d[dim::context]),
              log_of(d[dim::heads]),
              log_of(d[dim::sequences] * d[dim::heads]),
              balance,
              fixed};
    case KernelKind::memory:
      return {log_of(d[dim::read]), log_of(d[dim::written])};
    case KernelKind::linear_context:
    case KernelKind::linear_decode:
    case KernelKind::convolution_context:
    case KernelKind::convolution_decode:
    case KernelKind::indexer_context:
    case KernelKind::indexer_decode:
    case KernelKind::sparse_context:
    case KernelKind::sparse_decode:
      return {log_of(d[dim::sequences]), log_of(d[dim::query_len]), log_of(d[dim::context]),
              log_of(d[dim::heads])};
  }
  throw InvariantError("every kernel kind has features");
}

}  // namespace moesim
