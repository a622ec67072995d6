// Frontier's profiles of vLLM operators: medians in ms. "kernel_only" files hold times on the GPU,
// the others those between events, launches included.
#include <algorithm>
#include <array>
#include <cmath>

#include "calibrate/tables/model_widths.h"
#include "calibrate/tables/row_reader.h"

namespace moesim::detail {
namespace {

constexpr double k_ms = 1e-3;

// Pairs of one rank's experts as the row's statistics say.
MeanLoad recorded_load(const CsvTable& table, std::size_t row, double local) {
  const double pairs = number(table.count(row, table.column("total_routed_tokens"), 0));
  const double touched = std::round(table.number(row, table.column("expert_utilization")) * local);
  const double busiest =
      std::round(table.number(row, table.column("max_load_ratio")) * pairs / local);
  if (pairs > 0 && (touched < 1 || touched > std::min(local, pairs) || busiest < pairs / local)) {
    table.fail(row, table.column("expert_utilization"),
               "contradicts the number of routed tokens and the largest load");
  }
  return spread_load(pairs, touched, busiest);
}

// Without statistics: every token chooses evenly among all experts.
MeanLoad expected_load(double tokens, double top_k, double experts, double local) {
  const double pairs = tokens * top_k * local / experts;
  const double touched = local * (1 - std::pow(1 - top_k / experts, tokens));
  return spread_load(pairs, touched, pairs / touched);
}

}  // namespace

void read_frontier_moe(RowReader& reader) {
  const CsvTable& table = reader.table();
  const std::size_t time = reader.time_column("moe_grouped_gemm_median", "ms");
  const std::array<std::size_t, 7> columns{table.column("num_tokens"),
                                           table.column("num_experts"),
                                           table.column("num_experts_per_device"),
                                           table.column("router_topk"),
                                           table.column("hidden_dim"),
                                           table.column("expert_hidden_dim"),
                                           table.column("num_tensor_parallel_workers")};
  const std::size_t gated_column = table.column("use_gated");
  const bool recorded = table.has("total_routed_tokens");
  const bool named = table.has("moe_grouped_gemm_backend");
  const bool kernel_only = reader.file().operation == "moe_kernel_only";
  for (std::size_t row = 0; row < table.rows(); ++row) {
    std::array<std::int64_t, 7> v{};
    for (std::size_t i = 0; i < columns.size(); ++i) {
      v[i] = table.count(row, columns[i], 1);
    }
    const auto [tokens, experts, local, top_k, hidden, inter, tp] = v;
    if (table.text(row, time).empty()) {
      reader.skip("no time of the grouped product");
      continue;
    }
    const double seconds = table.positive(row, time) * k_ms;
    if (local > experts || top_k > experts || inter % tp != 0) {
      reader.skip("experts or widths do not divide over the ranks");
      continue;
    }
    const MeanLoad load =
        recorded ? recorded_load(table, row, number(local))
                 : expected_load(number(tokens), number(top_k), number(experts), number(local));
    const bool gated = table.text(row, gated_column) == "True";
    const std::string_view backend =
        named ? table.text(row, table.column("moe_grouped_gemm_backend")) : "";
    Measurement m;
    m.seconds = seconds;
    m.source = std::string(kernel_only ? "kernel_only:" : "with_launches:") +
               std::string(backend.empty() ? "unnamed" : backend);
    m.shape.key = {gated ? KernelKind::moe : KernelKind::moe_ungated, DType::bf16, DType::bf16};
    m.shape.dims = {number(tokens), number(top_k),   number(hidden),    number(inter / tp),
                    number(local),  number(experts), gated ? 3.0 : 2.0, load.pairs,
                    load.touched,   load.tiles_64,   load.tiles_128,    load.busiest};
    m.group = reader.group("moe", kernel_only ? "bf16/kernel_only" : "bf16");
    m.shape_group = hash_of({hidden, inter / tp, top_k, experts, local});
    m.checkable = recorded;
    reader.add(row, m);
  }
}

// Prefill and decode calls of equal sequences.
void read_frontier_attention(RowReader& reader) {
  const CsvTable& table = reader.table();
  const ModelWidths* model = find_model_widths(reader.file().subject);
  const std::size_t prefill_time = reader.time_column("attn_prefill_median", "ms");
  const std::size_t decode_time = reader.time_column("attn_decode_median", "ms");
  const std::size_t mode = table.column("mode");
  const std::size_t prefill_column = table.column("is_prefill");
  const std::size_t tp_column = table.column("num_tensor_parallel_workers");
  const std::size_t batch_column = table.column("batch_size");
  const std::size_t chunk_column = table.column("prefill_chunk_size");
  const std::size_t cached_column = table.column("kv_cache_size");
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (model == nullptr) {
      reader.skip("widths of the model not known: " + reader.file().subject);
      continue;
    }
    if (table.text(row, mode) != "even") {
      reader.skip("mixed batch: prefill and decode in one attention call");
      continue;
    }
    const bool decode = table.text(row, prefill_column) == "False";
    const std::int64_t tp = table.count(row, tp_column, 1);
    const std::int64_t batch = table.count(row, batch_column, 1);
    const std::int64_t chunk = table.count(row, chunk_column, decode ? 0 : 1);
    const std::int64_t cached = table.count(row, cached_column, 0);
    Measurement m;
    m.seconds = table.positive(row, decode ? decode_time : prefill_time) * k_ms;
    m.source = "kernel_only";
    m.shape.key = {decode ? KernelKind::attention_decode : KernelKind::attention_context,
                   DType::bf16, DType::bf16};
    m.shape.dims = {number(batch),
                    number(decode ? 1 : chunk),
                    number(decode ? std::max<std::int64_t>(1, cached) : cached + chunk),
                    number(std::max<std::int64_t>(1, model->heads / tp)),
                    number(std::max<std::int64_t>(1, model->kv_heads / tp)),
                    number(model->head_dim)};
    m.group =
        reader.group("attention", std::string(decode ? "generation_bf16/d" : "context_bf16/d") +
                                      std::to_string(model->head_dim));
    m.shape_group = hash_of({model->heads / tp, model->kv_heads});
    reader.add(row, m);
  }
}

// Every time of a line is a row of its own. Replicated operators are empty beyond one rank.
void read_frontier_linear(RowReader& reader) {
  const CsvTable& table = reader.table();
  const ModelWidths* model = find_model_widths(reader.file().subject);
  const std::size_t tokens_column = table.column("num_tokens");
  const std::size_t tp_column = table.column("num_tensor_parallel_workers");
  const std::size_t hidden_column = table.column("n_embd");
  constexpr std::string_view suffix = "_median_ms";
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::int64_t tokens = table.count(row, tokens_column, 1);
    const std::int64_t tp = table.count(row, tp_column, 1);
    const std::int64_t hidden = table.count(row, hidden_column, 1);
    for (std::size_t column = 0; column < table.columns(); ++column) {
      const std::string_view name = table.column_name(column);
      if (!name.ends_with(suffix) || table.text(row, column).empty()) {
        continue;
      }
      const std::string_view op = name.substr(0, name.size() - suffix.size());
      Measurement m;
      m.seconds = table.positive(row, column) * k_ms;
      const double rows = number(tokens);
      const double bytes = 2 * rows * number(hidden);
      m.shape.key = {KernelKind::memory, DType::bf16, DType::bf16};
      m.shape_group = hash_of({hidden, tp});
      m.source = "kernel_only:" + std::string(op);
      m.group = reader.group("memory", op);
      if (op == "emb") {
        m.shape.dims = {bytes, bytes};
      } else if (op == "add") {
        m.shape.dims = {2 * bytes, bytes};
      } else if (op == "input_layernorm" || op == "post_attention_layernorm") {
        m.shape.dims = {2 * bytes, 2 * bytes};  // adds to the residual stream and normalises it
      } else if (model != nullptr &&
                 (op == "attn_post_proj" || (op == "attn_pre_proj" && !model->qk_norm))) {
        const std::int64_t query = model->heads / tp * model->head_dim;
        const std::int64_t kv = std::max<std::int64_t>(1, model->kv_heads / tp) * model->head_dim;
        const bool before = op == "attn_pre_proj";
        m.source = "kernel_only";
        m.group = reader.group("gemm", "bf16");
        m.shape.key = {KernelKind::gemm, DType::bf16, DType::bf16};
        m.shape.dims = {rows, number(before ? query + 2 * kv : hidden),
                        number(before ? hidden : query), 1};
        m.shape_group = hash_of({before ? query + 2 * kv : hidden, before ? hidden : query});
      } else {
        reader.skip("widths of the operator not known: " + std::string(op));
        continue;
      }
      reader.add(row, m);
    }
  }
}

}  // namespace moesim::detail
