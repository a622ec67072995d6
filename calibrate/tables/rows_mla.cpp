// Main layout: multi-head latent attention alone, and as a module with its projections.
#include <algorithm>
#include <array>

#include "calibrate/tables/row_reader.h"

namespace moesim::detail {
namespace {

// Widths outside of the heads, as the models' config.json give them.
struct ModuleWidths {
  std::string_view model;  // last part of the name on Hugging Face
  std::int64_t hidden;
  std::int64_t query_rank;
};
constexpr std::array module_widths{
    ModuleWidths{"DeepSeek-V3", 7168, 1536}, ModuleWidths{"DeepSeek-V3-0324", 7168, 1536},
    ModuleWidths{"DeepSeek-V3.1", 7168, 1536}, ModuleWidths{"DeepSeek-R1", 7168, 1536},
    ModuleWidths{"Kimi-K2-Instruct", 7168, 1536}};

const ModuleWidths* find_widths(std::string_view model) {
  const auto slash = model.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? model : model.substr(slash + 1);
  const auto* const found = std::ranges::find(module_widths, name, &ModuleWidths::model);
  return found == module_widths.end() ? nullptr : &*found;
}

// SGLang's FlashAttention-3 backend attends to the latents themselves in prefill too (one sequence
// of 4,096 tokens takes 3.8 ms: 58 % of the peak of absorbed attention, 17 % of expanded), and
// converts a narrow cache as a whole before it reads it (fp8 decode takes 1.05 to 5.5 times as long
// as bf16).
KernelAlgorithm algorithm_of(const KernelKey& key, std::string_view source) {
  KernelAlgorithm algorithm;
  if (source == "flash_attention" && has_prefill(key.kind)) {
    algorithm.prefill = MlaPrefill::absorbed;
  }
  if (source == "flash_attention" && has_cache(key.kind) && key.storage != key.dtype) {
    algorithm.cache = CacheRead::converted;
  }
  return algorithm;
}

// `module`: with projections, whose format is another column's.
void read_latent_attention(RowReader& reader, bool context, bool module) {
  const CsvTable& table = reader.table();
  const std::size_t latency = reader.time_column("latency", "ms");
  const std::size_t source = table.column("kernel_source");
  const std::size_t dtype = table.column("mla_dtype");
  const std::size_t kv_dtype = table.column("kv_cache_dtype");
  const std::size_t gemm_dtype = module ? table.column("gemm_type") : dtype;
  const std::size_t model = module ? table.column("model") : dtype;
  const std::array<std::size_t, 4> columns{table.column("batch_size"), table.column("isl"),
                                           table.column("num_heads"), table.column("step")};
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const Format* format = reader.format(row, gemm_dtype);
    if (format == nullptr) {
      continue;
    }
    const Format* kv = find_format(table.text(row, kv_dtype));
    if (kv == nullptr) {
      reader.skip("format not modelled: KV cache");
      continue;
    }
    const ModuleWidths* widths = module ? find_widths(table.text(row, model)) : nullptr;
    if (module && widths == nullptr) {
      reader.skip("widths of the model not known: " + std::string(table.text(row, model)));
      continue;
    }
    const std::int64_t batch = table.count(row, columns[0], 1);
    const std::int64_t isl = table.count(row, columns[1], 1);
    const std::int64_t heads = table.count(row, columns[2], 1);
    const std::int64_t step = table.count(row, columns[3], 0);
    Measurement m;
    m.seconds = table.positive(row, latency) * 1e-3;
    m.source = table.text(row, source);
    KernelKind kind = context ? KernelKind::mla_context : KernelKind::mla_decode;
    if (module) {
      kind = context ? KernelKind::mla_module_context : KernelKind::mla_module_decode;
    }
    m.shape.key = {kind, format->dtype, kv->storage};
    m.shape.key.algorithm = algorithm_of(m.shape.key, m.source);
    const MlaOp op;  // DeepSeek's widths, which all models of the tables share
    m.shape.dims = {number(batch),       number(context ? isl : 1), number(isl + step),
                    number(heads),       number(op.latent_dim),     number(op.rope_dim),
                    number(op.nope_dim), number(op.value_dim)};
    if (module) {
      m.shape.dims[dim::model_width] = number(widths->hidden);
      m.shape.dims[dim::query_rank] = number(widths->query_rank);
    }
    const std::string phase = context ? "context_" : "generation_";
    m.group =
        reader.group("mla", phase + (module ? "module_" : "") + std::string(format->our_name));
    m.shape_group = hash_of({heads});
    reader.add(row, m);
  }
}

}  // namespace

void read_context_mla(RowReader& reader) { read_latent_attention(reader, true, false); }
void read_generation_mla(RowReader& reader) { read_latent_attention(reader, false, false); }
void read_mla_context_module(RowReader& reader) { read_latent_attention(reader, true, true); }
void read_mla_generation_module(RowReader& reader) { read_latent_attention(reader, false, true); }

}  // namespace moesim::detail
