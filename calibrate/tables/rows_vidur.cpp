// Vidur's profiles of dense models' operators: medians in ms by tokens and tensor parallel size, in
// fp16. Every time of a line is a row of its own.
#include <algorithm>
#include <array>

#include "calibrate/tables/row_reader.h"

namespace moesim::detail {
namespace {

// Widths of one rank.
struct Widths {
  double hidden;
  double inter;
  double query;
  double kv;
};

struct Operator {
  std::string_view name;
  bool product;
  // product: output and inner width; else bytes read and written per token.
  std::array<double, 2> (*sizes)(const Widths& w);
};
using Sizes = std::array<double, 2>;

// The up projection is that of gate and up together; norms are not fused with additions.
constexpr std::array operators{
    Operator{"emb", false, [](const Widths& w) { return Sizes{2 * w.hidden, 2 * w.hidden}; }},
    Operator{"input_layernorm", false,
             [](const Widths& w) { return Sizes{2 * w.hidden, 2 * w.hidden}; }},
    Operator{"post_attention_layernorm", false,
             [](const Widths& w) { return Sizes{2 * w.hidden, 2 * w.hidden}; }},
    Operator{"add", false, [](const Widths& w) { return Sizes{4 * w.hidden, 2 * w.hidden}; }},
    Operator{"attn_rope", false,
             [](const Widths& w) { return Sizes{2 * (w.query + w.kv), 2 * (w.query + w.kv)}; }},
    Operator{"mlp_act", false, [](const Widths& w) { return Sizes{4 * w.inter, 2 * w.inter}; }},
    Operator{"attn_pre_proj", true,
             [](const Widths& w) { return Sizes{w.query + 2 * w.kv, w.hidden}; }},
    Operator{"attn_post_proj", true, [](const Widths& w) { return Sizes{w.hidden, w.query}; }},
    Operator{"mlp_up_proj", true, [](const Widths& w) { return Sizes{2 * w.inter, w.hidden}; }},
    Operator{"mlp_down_proj", true, [](const Widths& w) { return Sizes{w.hidden, w.inter}; }}};

}  // namespace

void read_vidur_mlp(RowReader& reader) {
  const CsvTable& table = reader.table();
  const std::array<std::size_t, 6> columns{
      table.column("n_head"),     table.column("n_kv_head"),
      table.column("n_embd"),     table.column("n_expanded_embd"),
      table.column("num_tokens"), table.column("num_tensor_parallel_workers")};
  std::array<std::size_t, operators.size()> times{};
  for (std::size_t i = 0; i < operators.size(); ++i) {
    times[i] = reader.time_column(std::string(operators[i].name) + "_median", "ms");
  }
  for (std::size_t row = 0; row < table.rows(); ++row) {
    std::array<std::int64_t, 6> v{};
    for (std::size_t i = 0; i < columns.size(); ++i) {
      v[i] = table.count(row, columns[i], 1);
    }
    const auto [heads, kv_heads, hidden, inter, tokens, tp] = v;
    if (heads % tp != 0 || inter % tp != 0 || hidden % heads != 0) {
      table.fail(row, columns[5], "does not divide the heads or the width of the FFN");
    }
    const std::int64_t head_dim = hidden / heads;
    const Widths widths{number(hidden), number(inter / tp), number(heads / tp * head_dim),
                        number(std::max<std::int64_t>(1, kv_heads / tp) * head_dim)};
    for (std::size_t i = 0; i < operators.size(); ++i) {
      if (table.text(row, times[i]).empty()) {
        continue;
      }
      const Operator& op = operators[i];
      const auto [a, b] = op.sizes(widths);
      Measurement m;
      m.seconds = table.positive(row, times[i]) * 1e-3;
      if (op.product) {
        m.source = "vidur";
        m.shape.key = {KernelKind::gemm, DType::bf16, DType::bf16};  // the same tensor cores
        m.shape.dims = {number(tokens), a, b, 1};
        m.group = reader.group("gemm", "fp16");
        m.shape_group = hash_of({static_cast<std::int64_t>(a), static_cast<std::int64_t>(b)});
      } else {
        m.source = op.name;
        m.shape.key = {KernelKind::memory, DType::bf16, DType::bf16};
        m.shape.dims = {number(tokens) * a, number(tokens) * b};
        m.group = reader.group("memory", op.name);
        m.shape_group = hash_of({hidden, tp});
      }
      reader.add(row, m);
    }
  }
}

}  // namespace moesim::detail
