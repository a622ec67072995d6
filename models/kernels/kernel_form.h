// Forms of kernel-time models: equations with named coefficients. A profile gives the coefficients
// of a form; calibrate fits them. Numbers in, numbers out, so that averaged loads can be evaluated.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/kernels/kernel_model.h"

namespace moesim {

enum class KernelKind : std::uint8_t {
  gemm,
  batched_gemm,
  moe,          // gated experts: three matrices
  moe_ungated,  // two matrices
  attention_context,
  attention_decode,
  mla_context,
  mla_decode,
  memory,
  mlp,                 // one dense gated FFN, both products and the activation; dimensions of moe
  mla_module_context,  // MLA with its projections, as one time
  mla_module_decode,
  attention_window_context,  // a query sees the latest keys only
  attention_window_decode,
  linear_context,  // from here on: by counted work (CountedKernel)
  linear_decode,
  convolution_context,
  convolution_decode,
  indexer_context,
  indexer_decode,
  sparse_context,
  sparse_decode,
};
inline constexpr std::size_t k_kernel_kinds = 22;
std::string_view name_of(KernelKind kind);

inline constexpr std::size_t k_max_dims = 12;
using KernelDims = std::array<double, k_max_dims>;

// Positions in KernelDims.
namespace dim {
enum Gemm : std::size_t { m, n, k, batch };
enum Moe : std::size_t {
  tokens,
  top_k,
  hidden,
  inter,
  local_experts,
  total_experts,
  matrices,
  pairs,
  touched,
  tiles_64,
  tiles_128,
  busiest
};
enum Attention : std::size_t { sequences, query_len, context, heads, kv_heads, head_dim, window };
// The first four are those of Attention; the last two are of the module with projections only.
enum Mla : std::size_t { latent = 4, rope, nope, value, model_width, query_rank };
enum Memory : std::size_t { read, written };
// The first four are those of Attention.
enum Counted : std::size_t { flops = 4, bytes, computed };
}  // namespace dim

// How keys and values of MLA prefill enter the attention.
enum class MlaPrefill : std::uint8_t { expanded, absorbed };
// A cache stored narrower than the attention computes: read as it is, or converted as a whole
// first.
enum class CacheRead : std::uint8_t { native, converted };

// What tells kernels of one operation and format apart that cannot stand in for each other. Steps
// lower the first of each, and experts as the all-to-all leaves their rows.
struct KernelAlgorithm {
  ExpertLayout layout = ExpertLayout::fused;  // of moe, moe_ungated
  MlaPrefill prefill = MlaPrefill::expanded;  // of mla_context
  CacheRead cache = CacheRead::native;        // of attention and MLA

  friend bool operator==(const KernelAlgorithm&, const KernelAlgorithm&) = default;
};
inline constexpr std::array<std::string_view, 3> k_layout_names{"fused", "contiguous", "masked"};
inline constexpr std::array<std::string_view, 2> k_prefill_names{"expanded", "absorbed"};
inline constexpr std::array<std::string_view, 2> k_cache_names{"native", "converted"};
std::string_view name_of(ExpertLayout layout);
// Whether kernels of the kind differ in that part of KernelAlgorithm.
bool has_layout(KernelKind kind);
bool has_prefill(KernelKind kind);
bool has_cache(KernelKind kind);

// Which family answers: one fit per key (and kernel source).
struct KernelKey {
  KernelKind kind = KernelKind::gemm;
  DType dtype = DType::bf16;
  DType storage = DType::bf16;  // of weights or of the KV cache
  KernelAlgorithm algorithm = {};

  friend bool operator==(const KernelKey&, const KernelKey&) = default;
};

// "moe/fp8_block"; "moe/bf16-int4" where the stored format differs; "moe/fp8_block/masked" for
// another algorithm than the default.
std::string family_name(const KernelKey& key);

struct KernelShape {
  KernelKey key;
  KernelDims dims{};
  double weight_bits = 0;  // > 0: stored bits per weight, instead of the key's format
  bool causal = true;      // of attention
};
KernelShape shape_of(const OpShape& op);

// Kinds that are known by their counted work.
inline bool is_counted(KernelKind kind) { return kind >= KernelKind::linear_context; }
// The kind of a kernel that somebody measured; nullopt for the others.
std::optional<KernelKind> kind_of(const RooflineOp& op);

// The same kind without its window; itself where it has none.
KernelKind without_window(KernelKind kind);
// Attention in which every query sees all of the keys that are left when only those of the window
// are kept: no windowed kernel of the shape does less.
KernelShape without_window(const KernelShape& shape);
// Keys that a query sees at most; infinite without a window.
double window_of(const KernelShape& shape);

// Names of the used positions of KernelDims. The first `ranged` of them bound what a fit has seen.
struct DimNames {
  std::span<const std::string_view> names;
  std::size_t ranged = 0;
};
DimNames dim_names(KernelKind kind);

// False when the kernel has nothing to do.
bool has_work(const KernelShape& shape);

// What a form knows of the device and of the formats.
struct KernelContext {
  double peak = 0;       // FLOP/s of the product's format
  double bandwidth = 0;  // B/s, of the memory
  double on_die = 0;     // B/s, between second-level cache and multiprocessors, in units in which a
                         // fitted device's is its memory's bandwidth
  double sms = 0;
  double l2 = 0;             // B
  double storage_bytes = 2;  // of one weight or cached value
  double operand_bytes = 2;  // of one activation that enters the product

  friend bool operator==(const KernelContext&, const KernelContext&) = default;
};

// Throws ConfigError naming the device and its formats when it cannot compute in key.dtype.
KernelContext kernel_context(const DevicePeaks& device, const KernelKey& key);
// Same, without throwing: false when the device has no such rate.
bool supports(const DevicePeaks& device, DType dtype);

struct Parameter {
  std::string_view name;
  double start;  // of the fit, and the centre of its weak prior
  double min;
  double max;
};

struct KernelForm {
  std::string_view name;
  std::string_view equation;
  std::vector<Parameter> parameters;
  KernelEstimate (*evaluate)(std::span<const double> coefficients, const KernelShape& shape,
                             const KernelContext& context);
};

// Every form, in the order in which KERNELS.md explains them.
const std::vector<KernelForm>& kernel_forms();
// nullptr if there is none of that name.
const KernelForm* find_form(std::string_view name);

KernelForm gemm_form();
KernelForm moe_form();
KernelForm attention_context_form();
KernelForm attention_decode_form();
KernelForm mla_context_form();
KernelForm mla_decode_form();
KernelForm mla_module_context_form();
KernelForm mla_module_decode_form();
KernelForm stream_form();
KernelForm roofline_form();
KernelForm counted_form();

// Least work of a kernel: useful multiply-adds (2 FLOP each) and every operand and result once.
struct UsefulWork {
  double flops = 0;
  double bytes = 0;
};
UsefulWork useful_work(const KernelShape& shape);
// Of one weight or cached value.
double storage_bytes(const KernelShape& shape);
// (query, key) pairs of one sequence and head.
double visible_pairs(const KernelShape& shape);

// No kernel is faster: its arithmetic at the peak, and its bytes, beyond what the second-level
// cache may have kept, at the memory's bandwidth.
double least_seconds(const UsefulWork& work, const KernelContext& context);

namespace detail {

// One product of the projections of an MLA module: `batch` times m x k by k x n.
struct Product {
  double m;
  double n;
  double k;
  double batch;
};
// Compressions of queries and keys, expansion of queries, expansion of keys and values (prefill) or
// the two absorbed products (decode), output: the products of operators_attention.cpp.
std::array<Product, 5> mla_module_products(const KernelShape& shape);
// The attention proper inside a module.
KernelShape mla_core(const KernelShape& module_shape);

// x >= 0 without its fraction; doubles from 2^53 on have none (std::floor is a call on plain
// x86-64).
inline double whole_part(double x) {
  return x < 0x1p53 ? static_cast<double>(static_cast<std::int64_t>(x)) : x;
}

// Work of x waves when a last, partly filled wave costs the share w of a full one; never less than
// `least` waves.
inline double waves(double x, double w, double least) {
  const double whole = whole_part(x);
  const double up = whole < x ? whole + 1 : whole;
  const double value = x + w * (up - x);
  return value > least ? value : least;
}

inline double ceil_div(double a, double b) {
  const double q = a / b;
  const double whole = whole_part(q);
  return whole < q ? whole + 1 : whole;
}

// total = fixed + max(compute, memory): what neither of the two explains is latency that no other
// stream can use.
inline KernelEstimate split(double total, double compute, double memory) {
  const double longer = compute > memory ? compute : memory;
  KernelEstimate estimate;
  estimate.fixed = Seconds(total > longer ? total - longer : 0.0);
  estimate.compute = Seconds(compute);
  estimate.memory = Seconds(memory);
  return estimate;
}

// Longer of two overlapping phases plus the share `serial` of the shorter that does not overlap.
inline double overlapped(double a, double b, double serial) {
  return a > b ? a + serial * b : b + serial * a;
}

}  // namespace detail
}  // namespace moesim
