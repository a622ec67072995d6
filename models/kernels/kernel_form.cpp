#include "models/kernels/kernel_form.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, k_kernel_kinds> kind_names{"gemm",
                                                                  "batched_gemm",
                                                                  "moe",
                                                                  "moe_ungated",
                                                                  "attention_context",
                                                                  "attention_decode",
                                                                  "mla_context",
                                                                  "mla_decode",
                                                                  "memory",
                                                                  "mlp",
                                                                  "mla_module_context",
                                                                  "mla_module_decode",
                                                                  "attention_window_context",
                                                                  "attention_window_decode",
                                                                  "linear_context",
                                                                  "linear_decode",
                                                                  "convolution_context",
                                                                  "convolution_decode",
                                                                  "indexer_context",
                                                                  "indexer_decode",
                                                                  "sparse_context",
                                                                  "sparse_decode"};

constexpr std::array<std::string_view, 4> gemm_dims{"m", "n", "k", "batch"};
// The kernel's own five dimensions and its load bound a fit; the tile counts follow from them.
constexpr std::array<std::string_view, 12> moe_dims{
    "tokens",   "top_k", "hidden",  "inter",    "local_experts", "total_experts",
    "matrices", "pairs", "touched", "tiles_64", "tiles_128",     "busiest"};
constexpr std::array<std::string_view, 6> attention_dims{"sequences", "query_len", "context",
                                                         "heads",     "kv_heads",  "head_dim"};
constexpr std::array<std::string_view, 8> mla_dims{"sequences", "query_len", "context", "heads",
                                                   "latent",    "rope",      "nope",    "value"};
constexpr std::array<std::string_view, 10> mla_module_dims{
    "sequences", "query_len", "context", "heads",       "latent",
    "rope",      "nope",      "value",   "model_width", "query_rank"};
constexpr std::array<std::string_view, 2> memory_dims{"read", "written"};
constexpr std::array<std::string_view, 7> window_dims{"sequences", "query_len", "context", "heads",
                                                      "kv_heads",  "head_dim",  "window"};
constexpr std::array<std::string_view, 7> counted_dims{"sequences", "query_len", "context", "heads",
                                                       "flops",     "bytes",     "computed"};

double number(std::int64_t value) { return static_cast<double>(value); }

struct ShapeVisitor {
  KernelShape operator()(const GemmOp& op) const {
    KernelShape shape;
    shape.key = {op.batch > 1 ? KernelKind::batched_gemm : KernelKind::gemm, op.dtype,
                 op.weight_storage};
    shape.dims = {number(op.m), number(op.n), number(op.k), number(op.batch)};
    shape.weight_bits = op.weight_bits;
    return shape;
  }
  KernelShape operator()(const MoeOp& op) const {
    KernelShape shape;
    shape.key = {op.matrices == 2 ? KernelKind::moe_ungated : KernelKind::moe,
                 op.dtype,
                 op.weight_storage,
                 {.layout = op.layout}};
    shape.dims = {
        number(op.entering_tokens), number(op.top_k),          number(op.hidden),
        number(op.inter),           number(op.local_experts),  number(op.total_experts),
        number(op.matrices),        number(op.load.pairs),     number(op.load.touched_experts),
        number(op.load.tiles_64),   number(op.load.tiles_128), number(op.load.busiest)};
    shape.weight_bits = op.weight_bits;
    return shape;
  }
  KernelShape operator()(const AttentionOp& op) const {
    KernelShape shape;
    const bool prefill = op.phase == Phase::prefill;
    KernelKind kind = prefill ? KernelKind::attention_context : KernelKind::attention_decode;
    if (op.window > 0) {
      kind = prefill ? KernelKind::attention_window_context : KernelKind::attention_window_decode;
    }
    shape.key = {kind, op.dtype, op.kv_storage};
    shape.dims = {number(op.batch),    number(op.query_len), number(op.context), number(op.heads),
                  number(op.kv_heads), number(op.head_dim),  number(op.window)};
    shape.causal = op.causal;
    return shape;
  }
  KernelShape operator()(const MlaOp& op) const {
    KernelShape shape;
    shape.key = {op.phase == Phase::prefill ? KernelKind::mla_context : KernelKind::mla_decode,
                 op.dtype, op.kv_storage};
    shape.dims = {number(op.batch),    number(op.query_len),  number(op.context),
                  number(op.heads),    number(op.latent_dim), number(op.rope_dim),
                  number(op.nope_dim), number(op.value_dim)};
    return shape;
  }
  KernelShape operator()(const MemoryOp& op) const {
    KernelShape shape;
    shape.key = {KernelKind::memory, DType::bf16, DType::bf16};
    shape.dims = {op.read.si(), op.written.si()};
    return shape;
  }
  // Of kernels that nobody measured the bytes alone; KernelModel adds the arithmetic.
  KernelShape operator()(const RooflineOp& op) const {
    const auto kind = kind_of(op);
    if (!kind) {
      return (*this)(MemoryOp{op.bytes, Bytes()});
    }
    KernelShape shape;
    shape.key = {*kind, op.dtype, op.storage};
    shape.dims = {number(op.sequences),
                  number(op.query_len),
                  number(op.context),
                  number(op.heads),
                  op.flops.si(),
                  op.bytes.si(),
                  std::max(op.flops.si(), op.computed.si())};
    return shape;
  }
};

// Tensor cores multiply both 16-bit formats at the same rate, so either one's figure will do.
const FlopRate* find_rate(const DevicePeaks& device, DType dtype) {
  const auto find = [&device](DType wanted) -> const FlopRate* {
    const auto found = device.peak.find(wanted);
    return found == device.peak.end() ? nullptr : &found->second;
  };
  const DType wanted = peak_class(dtype);
  if (const FlopRate* rate = find(wanted)) {
    return rate;
  }
  if (wanted == DType::fp16) {
    return find(DType::bf16);
  }
  return wanted == DType::bf16 ? find(DType::fp16) : nullptr;
}

}  // namespace

std::string_view name_of(KernelKind kind) { return kind_names.at(static_cast<std::size_t>(kind)); }

std::string_view name_of(ExpertLayout layout) {
  return k_layout_names.at(static_cast<std::size_t>(layout));
}

bool has_layout(KernelKind kind) {
  return kind == KernelKind::moe || kind == KernelKind::moe_ungated;
}

bool has_prefill(KernelKind kind) { return kind == KernelKind::mla_context; }

bool has_cache(KernelKind kind) {
  const KernelKind plain = without_window(kind);
  return plain >= KernelKind::attention_context && plain <= KernelKind::mla_decode;
}

std::string family_name(const KernelKey& key) {
  std::string name(name_of(key.kind));
  if (key.kind == KernelKind::memory) {
    return name;
  }
  name += '/';
  name += name_of(key.dtype);
  if (key.storage != key.dtype) {
    name += '-';
    name += name_of(key.storage);
  }
  const KernelAlgorithm& how = key.algorithm;
  const auto add = [&name](std::string_view word) { name.append("/").append(word); };
  if (how.layout != ExpertLayout::fused) {
    add(name_of(how.layout));
  }
  if (how.prefill != MlaPrefill::expanded) {
    add(k_prefill_names.at(static_cast<std::size_t>(how.prefill)));
  }
  if (how.cache != CacheRead::native) {
    add(k_cache_names.at(static_cast<std::size_t>(how.cache)));
  }
  return name;
}

std::optional<KernelKind> kind_of(const RooflineOp& op) {
  const auto by_phase = [&op](KernelKind prefill, KernelKind decode) {
    return op.phase == Phase::prefill ? prefill : decode;
  };
  switch (op.kernel) {
    case CountedKernel::linear_attention:
      return by_phase(KernelKind::linear_context, KernelKind::linear_decode);
    case CountedKernel::short_convolution:
      return by_phase(KernelKind::convolution_context, KernelKind::convolution_decode);
    case CountedKernel::indexer:
      return by_phase(KernelKind::indexer_context, KernelKind::indexer_decode);
    case CountedKernel::sparse_attention:
      return by_phase(KernelKind::sparse_context, KernelKind::sparse_decode);
    case CountedKernel::uneven_attention:
    case CountedKernel::lightning_attention:
    case CountedKernel::state_space:
    case CountedKernel::compressed_attention:
      return std::nullopt;
  }
  throw InvariantError("every counted kernel is measured or not");
}

KernelKind without_window(KernelKind kind) {
  if (kind == KernelKind::attention_window_context) {
    return KernelKind::attention_context;
  }
  return kind == KernelKind::attention_window_decode ? KernelKind::attention_decode : kind;
}

KernelShape without_window(const KernelShape& shape) {
  KernelShape plain = shape;
  plain.key.kind = without_window(shape.key.kind);
  KernelDims& d = plain.dims;
  if (plain.key.kind != shape.key.kind) {
    d[dim::context] = std::min(d[dim::context], d[dim::window]);
    d[dim::query_len] = std::min(d[dim::query_len], d[dim::context]);
    d[dim::window] = 0;
  }
  return plain;
}

KernelShape shape_of(const OpShape& op) { return std::visit(ShapeVisitor{}, op); }

DimNames dim_names(KernelKind kind) {
  switch (kind) {
    case KernelKind::gemm:
      return {gemm_dims, 3};
    case KernelKind::batched_gemm:
      return {gemm_dims, 4};
    case KernelKind::moe:
    case KernelKind::moe_ungated:
    case KernelKind::mlp:
      return {moe_dims, 6};
    case KernelKind::attention_context:
    case KernelKind::attention_decode:
      return {attention_dims, 6};
    case KernelKind::mla_context:
    case KernelKind::mla_decode:
      return {mla_dims, 8};
    case KernelKind::mla_module_context:
    case KernelKind::mla_module_decode:
      return {mla_module_dims, 10};
    case KernelKind::memory:
      return {memory_dims, 2};
    case KernelKind::attention_window_context:
    case KernelKind::attention_window_decode:
      return {window_dims, 7};
    case KernelKind::linear_context:
    case KernelKind::linear_decode:
    case KernelKind::convolution_context:
    case KernelKind::convolution_decode:
    case KernelKind::indexer_context:
    case KernelKind::indexer_decode:
    case KernelKind::sparse_context:
    case KernelKind::sparse_decode:
      return {counted_dims, 4};
  }
  throw InvariantError("every kernel kind has dimensions");
}

bool has_work(const KernelShape& shape) {
  const KernelDims& d = shape.dims;
  switch (shape.key.kind) {
    case KernelKind::gemm:
    case KernelKind::batched_gemm:
      return d[dim::m] > 0 && d[dim::n] > 0 && d[dim::k] > 0 && d[dim::batch] > 0;
    case KernelKind::moe:
    case KernelKind::moe_ungated:
    case KernelKind::mlp:
      // Ranks that no token reaches still launch the kernel when tokens enter it.
      return d[dim::tokens] > 0 || d[dim::pairs] > 0;
    case KernelKind::attention_context:
    case KernelKind::attention_decode:
    case KernelKind::mla_context:
    case KernelKind::mla_decode:
    case KernelKind::mla_module_context:
    case KernelKind::mla_module_decode:
    case KernelKind::attention_window_context:
    case KernelKind::attention_window_decode:
      return d[dim::sequences] > 0 && d[dim::query_len] > 0 && d[dim::heads] > 0;
    case KernelKind::linear_context:
    case KernelKind::linear_decode:
    case KernelKind::convolution_context:
    case KernelKind::convolution_decode:
    case KernelKind::indexer_context:
    case KernelKind::indexer_decode:
    case KernelKind::sparse_context:
    case KernelKind::sparse_decode:
      return d[dim::flops] > 0 || d[dim::bytes] > 0;
    case KernelKind::memory:
      return d[dim::read] + d[dim::written] > 0;
  }
  return false;
}

bool supports(const DevicePeaks& device, DType dtype) {
  return find_rate(device, dtype) != nullptr;
}

KernelContext kernel_context(const DevicePeaks& device, const KernelKey& key) {
  KernelContext context;
  context.bandwidth = device.memory.si();
  context.on_die = context.bandwidth;
  context.sms = std::max(1, device.multiprocessors);
  context.l2 = device.l2.si();
  context.storage_bytes = stored_bits(key.storage) / 8;
  context.operand_bytes = stored_bits(key.dtype) / 8;
  if (key.kind == KernelKind::memory) {
    context.peak = 1.0;  // no arithmetic
    return context;
  }
  const FlopRate* rate = find_rate(device, key.dtype);
  if (rate == nullptr) {
    std::vector<std::string_view> formats;
    for (const auto& [format, unused] : device.peak) {
      formats.push_back(name_of(format));
    }
    throw ConfigError(device.device, "the device does not compute in " +
                                         std::string(name_of(key.dtype)) +
                                         "; its formats: " + joined(formats));
  }
  context.peak = rate->si();
  return context;
}

const std::vector<KernelForm>& kernel_forms() {
  static const std::vector<KernelForm> forms = {gemm_form(),
                                                moe_form(),
                                                attention_context_form(),
                                                attention_decode_form(),
                                                mla_context_form(),
                                                mla_decode_form(),
                                                mla_module_context_form(),
                                                mla_module_decode_form(),
                                                stream_form(),
                                                roofline_form(),
                                                counted_form()};
  return forms;
}

const KernelForm* find_form(std::string_view name) {
  const auto& forms = kernel_forms();
  const auto found = std::ranges::find(forms, name, &KernelForm::name);
  return found == forms.end() ? nullptr : &*found;
}

}  // namespace moesim
