// Main layout: dense and batched products, attention, quantisation.
#include <array>

#include "calibrate/tables/row_reader.h"

namespace moesim::detail {
namespace {

// Columns that every file of the layout has.
struct Common {
  explicit Common(const RowReader& reader)
      : latency(reader.time_column("latency", "ms")),
        source(reader.table().column("kernel_source")) {}
  [[nodiscard]] Measurement start(const RowReader& reader, std::size_t row) const {
    Measurement measured;
    measured.seconds = reader.table().positive(row, latency) * 1e-3;
    measured.source = reader.table().text(row, source);
    return measured;
  }
  std::size_t latency;
  std::size_t source;
};

void read_attention(RowReader& reader, bool context) {
  const CsvTable& table = reader.table();
  const Common common(reader);
  const std::size_t dtype = table.column("attn_dtype");
  const std::size_t kv_dtype = table.column("kv_cache_dtype");
  const std::array<std::size_t, 6> columns{
      table.column("batch_size"),          table.column("isl"),      table.column("num_heads"),
      table.column("num_key_value_heads"), table.column("head_dim"), table.column("step")};
  const bool has_window = table.has("window_size");
  const std::size_t window = has_window ? table.column("window_size") : 0;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const Format* format = reader.format(row, dtype);
    if (format == nullptr) {
      continue;
    }
    const Format* kv = find_format(table.text(row, kv_dtype));
    if (kv == nullptr) {
      reader.skip("format not modelled: KV cache");
      continue;
    }
    std::array<std::int64_t, 6> v{};
    for (std::size_t i = 0; i < columns.size(); ++i) {
      v[i] = table.count(row, columns[i], i == 5 ? 0 : 1);
    }
    const auto [batch, isl, heads, kv_heads, head_dim, step] = v;
    // A window that holds all keys is none.
    const std::int64_t seen = has_window ? table.count(row, window, 0) : 0;
    const AttentionOp op{.phase = context ? Phase::prefill : Phase::decode,
                         .batch = batch,
                         .query_len = context ? isl : 1,
                         .context = isl + step,
                         .heads = heads,
                         .kv_heads = kv_heads,
                         .head_dim = head_dim,
                         .dtype = format->dtype,
                         .kv_storage = kv->storage,
                         .causal = true,
                         .window = seen < isl + step ? seen : 0};
    Measurement m = common.start(reader, row);
    m.shape = shape_of(op);
    std::string rest(context ? "context_" : "generation_");
    rest.append(format->our_name).append("/d").append(std::to_string(head_dim));
    if (op.window > 0) {
      rest.append("/w").append(std::to_string(op.window));
    }
    m.group = reader.group("attention", rest);
    m.shape_group = hash_of({heads});
    reader.add(row, m);
  }
}

// Quantising m x k bf16 values to 8 bits reads 2 and writes 1 byte each; finding the scale first
// reads all of them once more.
void read_quantisation(RowReader& reader, bool two_passes) {
  const CsvTable& table = reader.table();
  const Common common(reader);
  const std::size_t m_column = table.column("m");
  const std::size_t k_column = table.column("k");
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::int64_t width = table.count(row, k_column, 1);
    const double values = number(table.count(row, m_column, 1)) * number(width);
    Measurement m = common.start(reader, row);
    m.shape.key = {KernelKind::memory, DType::bf16, DType::bf16};
    m.shape.dims = {(two_passes ? 4 : 2) * values, values};
    m.source.insert(0, two_passes ? "two_passes:" : "one_pass:");
    m.group = reader.group(two_passes ? "computescale" : "scale_matrix", "fp8");
    m.shape_group = hash_of({width});
    reader.add(row, m);
  }
}

}  // namespace

void read_gemm(RowReader& reader) {
  const CsvTable& table = reader.table();
  const Common common(reader);
  const std::size_t dtype = table.column("gemm_dtype");
  const std::size_t m_column = table.column("m");
  const std::size_t n_column = table.column("n");
  const std::size_t k_column = table.column("k");
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const Format* format = reader.format(row, dtype);
    if (format == nullptr) {
      continue;
    }
    const std::int64_t columns = table.count(row, n_column, 1);
    const std::int64_t depth = table.count(row, k_column, 1);
    Measurement m = common.start(reader, row);
    m.shape.key = {KernelKind::gemm, format->dtype, format->storage};
    m.shape.dims = {number(table.count(row, m_column, 1)), number(columns), number(depth), 1};
    m.group = reader.group("gemm", format->our_name);
    m.shape_group = hash_of({columns});
    m.other_group = hash_of({depth, 1});
    reader.add(row, m);
  }
}

void read_context_attention(RowReader& reader) { read_attention(reader, true); }
void read_generation_attention(RowReader& reader) { read_attention(reader, false); }

void read_mla_bmm(RowReader& reader) {
  const CsvTable& table = reader.table();
  const Common common(reader);
  const std::size_t op = table.column("op_name");
  const std::size_t dtype = table.column("bmm_dtype");
  const std::size_t tokens = table.column("num_tokens");
  const std::size_t heads = table.column("num_heads");
  const MlaOp widths;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const Format* format = reader.format(row, dtype);
    if (format == nullptr) {
      continue;
    }
    const std::string_view name = table.text(row, op);
    if (name != "mla_gen_pre" && name != "mla_gen_post") {
      reader.skip("batched product not known: " + std::string(name));
      continue;
    }
    const bool before = name == "mla_gen_pre";
    const std::int64_t count = table.count(row, heads, 1);
    Measurement m = common.start(reader, row);
    m.shape.key = {KernelKind::batched_gemm, format->dtype, format->storage};
    m.shape.dims = {number(table.count(row, tokens, 1)),
                    number(before ? widths.latent_dim : widths.value_dim),
                    number(before ? widths.nope_dim : widths.latent_dim), number(count)};
    m.group = reader.group("mla_bmm", format->our_name);
    m.shape_group = hash_of({count});
    reader.add(row, m);
  }
}

void read_computescale(RowReader& reader) { read_quantisation(reader, true); }
void read_scale_matrix(RowReader& reader) { read_quantisation(reader, false); }

}  // namespace moesim::detail
