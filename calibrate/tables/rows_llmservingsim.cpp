// LLMServingSim's profiles of vLLM, one layer of one model per row, times in us.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "calibrate/tables/model_widths.h"
#include "calibrate/tables/row_reader.h"
#include "sim/core/error.h"

namespace moesim::detail {
namespace {

// Kernels of one rank: file subjects are "<model>/tp<n>".
struct Rank {
  const ModelWidths* model = nullptr;
  std::int64_t tp = 1;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
};

// The rank of the file; nullopt when its model is not known. Throws ConfigError when the parallel
// size is not a number that divides the heads.
std::optional<Rank> rank_of(const MeasuredFile& file) {
  const std::size_t slash = file.subject.find('/');
  Rank rank;
  rank.model = find_model_widths(file.subject.substr(0, slash));
  if (rank.model == nullptr) {
    return std::nullopt;
  }
  const std::string tp = file.subject.substr(slash + 3);
  const auto result = std::from_chars(tp.data(), tp.data() + tp.size(), rank.tp);
  if (result.ec != std::errc() || result.ptr != tp.data() + tp.size() || rank.tp < 1 ||
      rank.model->heads % rank.tp != 0) {
    throw ConfigError(file.path, "tp" + tp + " in the name: expected a number that divides the " +
                                     std::to_string(rank.model->heads) + " query heads");
  }
  rank.heads = rank.model->heads / rank.tp;
  rank.kv_heads = std::max<std::int64_t>(1, rank.model->kv_heads / rank.tp);
  return rank;
}

void skip_all(RowReader& reader) {
  const std::string model = reader.file().subject.substr(0, reader.file().subject.find('/'));
  for (std::size_t row = 0; row < reader.table().rows(); ++row) {
    reader.skip("widths of the model not known: " + model);
  }
}

constexpr double k_us = 1e-6;
constexpr KernelKey k_gemm{KernelKind::gemm, DType::bf16, DType::bf16};

Measurement product(const RowReader& reader, double rows, std::int64_t n, std::int64_t k) {
  Measurement m;
  m.source = "vllm";
  m.shape.key = k_gemm;
  m.shape.dims = {rows, number(n), number(k), 1};
  m.group = reader.group("gemm", "bf16");
  m.shape_group = hash_of({n, k});
  return m;
}

// Bytes per token that a layer without weights reads and writes, 16-bit values.
struct Traffic {
  double read = 0;
  double written = 0;
};
std::optional<Traffic> traffic_of(std::string_view layer, const Rank& rank) {
  const double hidden = number(rank.model->hidden);
  const double rotated = number((rank.heads + rank.kv_heads) * rank.model->head_dim);
  const double inter = number(rank.model->inter / rank.tp);
  if (layer == "embedding") {
    return Traffic{2 * hidden, 2 * hidden};
  }
  if (layer == "layernorm" || layer == "final_layernorm") {
    return Traffic{4 * hidden, 4 * hidden};  // adds to the residual stream and normalises it
  }
  if (layer == "qk_norm" || layer == "rotary_emb") {
    return Traffic{2 * rotated, 2 * rotated};
  }
  if (layer == "act_fn" && inter > 0) {
    return Traffic{4 * inter, 2 * inter};
  }
  return std::nullopt;
}

// Output and inner width of a projection.
std::optional<std::array<std::int64_t, 2>> projection_of(std::string_view layer, const Rank& rank) {
  const ModelWidths& model = *rank.model;
  const std::int64_t query = rank.heads * model.head_dim;
  const std::int64_t inter = model.inter / rank.tp;
  using Widths = std::array<std::int64_t, 2>;
  if (layer == "qkv_proj") {
    return Widths{query + 2 * rank.kv_heads * model.head_dim, model.hidden};
  }
  if (layer == "o_proj") {
    return Widths{model.hidden, query};
  }
  if (layer == "gate_up_proj" && inter > 0) {
    return Widths{2 * inter, model.hidden};
  }
  if (layer == "down_proj" && inter > 0) {
    return Widths{model.hidden, inter};
  }
  if (layer == "lm_head") {
    return Widths{model.vocabulary / rank.tp, model.hidden};
  }
  return std::nullopt;
}

void read_layers(RowReader& reader, std::string_view count_column) {
  const CsvTable& table = reader.table();
  const auto rank = rank_of(reader.file());
  const std::size_t layer_column = table.column("layer");
  const std::size_t rows_column = table.column(count_column);
  const std::size_t time = reader.time_column("time", "us");
  if (!rank) {
    skip_all(reader);
    return;
  }
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::string_view layer = table.text(row, layer_column);
    const double rows = number(table.count(row, rows_column, 1));
    const double seconds = table.positive(row, time) * k_us;
    Measurement m;
    if (const auto widths = projection_of(layer, *rank)) {
      m = product(reader, rows, (*widths)[0], (*widths)[1]);
    } else if (const auto traffic = traffic_of(layer, *rank)) {
      m.source = layer;
      m.shape.key = {KernelKind::memory, DType::bf16, DType::bf16};
      m.shape.dims = {rows * traffic->read, rows * traffic->written};
      m.group = reader.group("memory", layer);
      m.shape_group = hash_of({static_cast<std::int64_t>(rows)});
    } else {
      reader.skip(layer == "sampler" ? "sampler: passes over the logits not known"
                                     : "layer not known: " + std::string(layer));
      continue;
    }
    m.seconds = seconds;
    reader.add(row, m);
  }
}

}  // namespace

void read_llmservingsim_dense(RowReader& reader) { read_layers(reader, "tokens"); }
void read_llmservingsim_per_sequence(RowReader& reader) { read_layers(reader, "sequences"); }

// One prefill chunk behind kv_prefill cached tokens, or n_decode sequences of kv_decode tokens
// each.
void read_llmservingsim_attention(RowReader& reader) {
  const CsvTable& table = reader.table();
  const auto rank = rank_of(reader.file());
  const std::array<std::size_t, 4> columns{table.column("prefill_chunk"),
                                           table.column("kv_prefill"), table.column("n_decode"),
                                           table.column("kv_decode")};
  const std::size_t time = reader.time_column("time", "us");
  if (!rank) {
    skip_all(reader);
    return;
  }
  for (std::size_t row = 0; row < table.rows(); ++row) {
    std::array<std::int64_t, 4> v{};
    for (std::size_t i = 0; i < columns.size(); ++i) {
      v[i] = table.count(row, columns[i], 0);
    }
    const auto [chunk, past, sequences, keys] = v;
    const double seconds = table.positive(row, time) * k_us;
    if (chunk > 0 && sequences > 0) {
      reader.skip("mixed batch: prefill and decode in one attention call");
      continue;
    }
    if (chunk == 0 && (sequences == 0 || keys == 0)) {
      reader.skip("attention call without tokens");
      continue;
    }
    const bool decode = chunk == 0;
    Measurement m;
    m.seconds = seconds;
    m.source = "vllm";
    m.shape.key = {decode ? KernelKind::attention_decode : KernelKind::attention_context,
                   DType::bf16, DType::bf16};
    m.shape.dims = {number(decode ? sequences : 1),
                    number(decode ? 1 : chunk),
                    number(decode ? keys : past + chunk),
                    number(rank->heads),
                    number(rank->kv_heads),
                    number(rank->model->head_dim)};
    m.group =
        reader.group("attention", std::string(decode ? "generation_bf16/d" : "context_bf16/d") +
                                      std::to_string(rank->model->head_dim));
    // One model: lengths are what can be left out.
    m.shape_group = hash_of({decode ? keys : past});
    reader.add(row, m);
  }
}

// All experts of one GPU; the tokens' pairs spread evenly over the activated ones.
void read_llmservingsim_moe(RowReader& reader) {
  const CsvTable& table = reader.table();
  const auto rank = rank_of(reader.file());
  const std::size_t tokens_column = table.column("tokens");
  const std::size_t activated_column = table.column("activated_experts");
  const std::size_t time = reader.time_column("time", "us");
  if (!rank || rank->model->experts == 0) {
    skip_all(reader);
    return;
  }
  const ModelWidths& model = *rank->model;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::int64_t tokens = table.count(row, tokens_column, 1);
    const std::int64_t activated = table.count(row, activated_column, 1);
    const std::int64_t pairs = tokens * model.top_k;
    const double seconds = table.positive(row, time) * k_us;
    if (activated < model.top_k || activated > std::min(pairs, model.experts)) {
      table.fail(row, activated_column,
                 "activated experts: expected " + std::to_string(model.top_k) + " to " +
                     std::to_string(std::min(pairs, model.experts)));
    }
    const std::int64_t busiest = (pairs + activated - 1) / activated;
    const MeanLoad load = spread_load(number(pairs), number(activated), number(busiest));
    Measurement m;
    m.seconds = seconds;
    m.source = "vllm";
    m.shape.key = {KernelKind::moe, DType::bf16, DType::bf16};
    m.shape.dims = {number(tokens),
                    number(model.top_k),
                    number(model.hidden),
                    number(model.expert_inter / rank->tp),
                    number(model.experts),
                    number(model.experts),
                    3,
                    load.pairs,
                    load.touched,
                    load.tiles_64,
                    load.tiles_128,
                    load.busiest};
    m.group = reader.group("moe", "bf16");
    m.shape_group = hash_of({activated});
    reader.add(row, m);
  }
}

}  // namespace moesim::detail
