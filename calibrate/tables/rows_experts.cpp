// Main layout: routed experts and dense FFNs.
#include <algorithm>
#include <array>
#include <cmath>

#include "calibrate/tables/row_reader.h"

namespace moesim::detail {
namespace {

// What the files of routed experts have in common.
struct Case {
  std::int64_t tokens = 0;  // over all ranks
  std::int64_t hidden = 0;
  std::int64_t inter = 0;
  std::int64_t top_k = 0;
  std::int64_t experts = 0;
  std::int64_t tp = 0;
  std::int64_t ep = 0;
};

class ExpertTable {
 public:
  explicit ExpertTable(RowReader& reader)
      : reader_(reader),
        dtype_(table().column("moe_dtype")),
        distribution_(table().column("distribution")),
        latency_(reader.time_column("latency", "ms")),
        source_(table().column("kernel_source")),
        columns_{table().column("num_tokens"),  table().column("hidden_size"),
                 table().column("inter_size"),  table().column("topk"),
                 table().column("num_experts"), table().column("moe_tp_size"),
                 table().column("moe_ep_size")} {}

  [[nodiscard]] const CsvTable& table() const { return reader_.table(); }
  [[nodiscard]] const Format* format(std::size_t row) { return reader_.format(row, dtype_); }
  [[nodiscard]] std::string_view distribution(std::size_t row) const {
    return table().text(row, distribution_);
  }
  [[nodiscard]] Case values(std::size_t row) const {
    // Tokens, hidden, inter, top-k, experts, TP, EP. Beyond these, simulating the loads would take
    // longer than measuring them.
    constexpr std::array<std::int64_t, 7> most{1 << 20, 1 << 20, 1 << 20, 1 << 10,
                                               1 << 14, 1 << 14, 1 << 14};
    std::array<std::int64_t, 7> v{};
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      v[i] = table().count(row, columns_[i], 1, most[i]);
    }
    return {v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
  }
  // False after the row was counted as skipped. `slots`: places for experts, over all ranks.
  bool divides(const Case& c, std::int64_t slots) {
    if (slots % c.ep == 0 && c.experts % c.ep == 0 && c.inter % c.tp == 0 && c.top_k <= c.experts) {
      return true;
    }
    reader_.skip("experts or widths do not divide over the ranks");
    return false;
  }
  // The exponent of the row's law, or nullopt after the row was counted as skipped.
  std::optional<double> exponent(std::size_t row, std::string_view law) {
    const auto exponent = exponent_of(law);
    if (!exponent) {
      reader_.skip("expert distribution not simulated: " + std::string(distribution(row)));
    }
    return exponent;
  }
  [[nodiscard]] Measurement measurement(std::size_t row, const Format& format, const Case& c,
                                        const MeanLoad& load) const {
    // The benchmarks' only shape without a gate (two matrices) is (512 experts, top-22).
    const bool gated = !(c.experts == 512 && c.top_k == 22);
    Measurement m;
    m.seconds = table().positive(row, latency_) * 1e-3;
    m.source = table().text(row, source_);
    m.shape.key = {gated ? KernelKind::moe : KernelKind::moe_ungated, format.dtype, format.storage};
    m.shape.dims = {number(c.tokens),
                    number(c.top_k),
                    number(c.hidden),
                    number(c.inter / c.tp),
                    number(c.experts / c.ep),
                    number(c.experts),
                    gated ? 3.0 : 2.0,
                    load.pairs,
                    load.touched,
                    load.tiles_64,
                    load.tiles_128,
                    load.busiest};
    m.shape_group = hash_of({c.hidden, c.inter, c.top_k, c.experts});
    return m;
  }

 private:
  RowReader& reader_;
  std::size_t dtype_;
  std::size_t distribution_;
  std::size_t latency_;
  std::size_t source_;
  std::array<std::size_t, 7> columns_;
};

// DeepSeek-V3's router keeps 4 of 8 groups of experts, and the benchmarks of its shape in
// block-scaled fp8 under SGLang and vLLM routed their loads through it: one rank takes as long as
// two (half of the balanced choices lie outside the kept groups), and every token goes to the first
// experts, which make up for the lost choices, however many ranks there are.
constexpr std::int64_t k_groups = 8;
constexpr std::int64_t k_kept_groups = 4;
bool routes_by_group(std::string_view framework, const Case& c, DType dtype) {
  return (framework == "sglang" || framework == "vllm") && dtype == DType::fp8_block &&
         c.hidden == 7168 && c.inter == 2048 && c.experts == 256 && c.top_k == 8;
}

// What a reader without the benchmark's source would assume: evenly spread pairs.
KernelShape even_load(const KernelShape& shape, const Case& c) {
  KernelShape even = shape;
  even.dims[dim::pairs] = number(c.tokens * c.top_k) / number(c.ep);
  even.dims[dim::touched] =
      std::min(even.dims[dim::local_experts], std::ceil(even.dims[dim::pairs]));
  return even;
}

// DeepEP's layouts of SGLang. num_tokens is that of all ranks together: pairs and times follow
// num_tokens * topk / moe_ep_size.
void read_deepep_moe(RowReader& reader, bool contiguous) {
  ExpertTable experts(reader);
  for (std::size_t row = 0; row < experts.table().rows(); ++row) {
    const Format* format = experts.format(row);
    if (format == nullptr) {
      continue;
    }
    const Case c = experts.values(row);
    const auto exponent = experts.exponent(row, experts.distribution(row));
    if (!exponent || !experts.divides(c, c.experts)) {
      continue;
    }
    constexpr std::int64_t block = 128;  // rows that one expert's weights are applied to
    const bool balanced = *exponent <= 0;
    if (contiguous && balanced && c.tokens * c.top_k % (c.experts * block) != 0) {
      reader.skip(
          "balanced groups of the contiguous layout that do not fill blocks of 128 rows: the "
          "benchmark computed whole blocks with one expert's weights");
      continue;
    }
    const MeanLoad& load = reader.loads().load({c.tokens, c.top_k, c.experts, c.ep, *exponent});
    Measurement m = experts.measurement(row, *format, c, load);
    if (!contiguous) {
      m.shape.dims[dim::tokens] = std::ceil(load.pairs);  // each pair arrives as a row of its own
    }
    m.source.insert(0, contiguous ? "contiguous:" : "masked:");
    m.shape.key.algorithm.layout = contiguous ? ExpertLayout::contiguous : ExpertLayout::masked;
    m.group = reader.group(
        "moe", std::string(format->our_name) + (contiguous ? "/contiguous" : "/masked"));
    m.checkable = balanced;
    m.ideal = even_load(m.shape, c);
    reader.add(row, m);
  }
}

}  // namespace

void read_moe(RowReader& reader) {
  ExpertTable experts(reader);
  for (std::size_t row = 0; row < experts.table().rows(); ++row) {
    const Format* format = experts.format(row);
    if (format == nullptr) {
      continue;
    }
    const Case c = experts.values(row);
    const auto exponent = experts.exponent(row, experts.distribution(row));
    if (!exponent) {
      continue;
    }
    if (c.ep > 1 && reader.file().system == "a100_sxm" && reader.file().framework == "sglang") {
      // At many tokens 8 ranks cost as much as one: the timed rank computed more than its share.
      reader.skip("SGLang on A100 with several expert ranks: times do not depend on the ranks");
      continue;
    }
    if (!experts.divides(c, c.experts)) {
      continue;
    }
    LoadCase drawn{c.tokens, c.top_k, c.experts, c.ep, *exponent};
    if (routes_by_group(reader.file().framework, c, format->dtype)) {
      drawn.groups = k_groups;
      drawn.kept_groups = k_kept_groups;
    }
    const MeanLoad& load = reader.loads().load(drawn);
    Measurement m = experts.measurement(row, *format, c, load);
    m.group = reader.group("moe", format->our_name);
    m.checkable = *exponent <= 0;
    if (!m.checkable) {
      m.ideal = even_load(m.shape, c);
    }
    reader.add(row, m);
  }
}

// One draw of loads was timed. How many tokens it sent to the rank is recorded, which of the
// simulated draws comes nearest stands for it.
void read_wideep_moe(RowReader& reader) {
  ExpertTable experts(reader);
  const CsvTable& table = experts.table();
  const std::size_t received = table.column("rank0_num_tokens");
  const std::size_t slots_column = table.column("num_slots");
  const std::size_t mode = table.column("simulation_mode");
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const Format* format = experts.format(row);
    if (format == nullptr) {
      continue;
    }
    if (table.text(row, mode) != "accurate") {
      reader.skip("wide expert parallelism, all tokens on the timed rank");
      continue;
    }
    const Case c = experts.values(row);
    const std::int64_t slots = table.count(row, slots_column, c.experts);
    constexpr std::string_view suffix = "_eplb";
    std::string_view law = experts.distribution(row);
    const bool balanced_slots = law.ends_with(suffix);
    law.remove_suffix(balanced_slots ? suffix.size() : 0);
    const auto exponent = experts.exponent(row, law);
    if (!exponent || !experts.divides(c, slots)) {
      continue;
    }
    const std::int64_t tokens = table.count(row, received, 0);
    const MeanLoad load = reader.loads().received({c.tokens, c.top_k, c.experts, c.ep, *exponent},
                                                  {slots, balanced_slots, tokens});
    Measurement m = experts.measurement(row, *format, c, load);
    m.shape.dims[dim::tokens] = number(tokens);
    m.shape.dims[dim::local_experts] = number(slots / c.ep);
    m.group = reader.group("moe", std::string(format->our_name) + "/wideep");
    m.checkable = false;
    m.ideal = even_load(m.shape, c);
    reader.add(row, m);
  }
}

void read_wideep_context_moe(RowReader& reader) { read_deepep_moe(reader, true); }
void read_wideep_generation_moe(RowReader& reader) { read_deepep_moe(reader, false); }

// The shared expert: both products and the activation between them.
void read_wideep_mlp(RowReader& reader) {
  const CsvTable& table = reader.table();
  const std::size_t latency = reader.time_column("latency", "ms");
  const std::size_t source = table.column("kernel_source");
  const std::size_t dtype = table.column("quant_type");
  const std::size_t tokens_column = table.column("num_token");
  const std::size_t hidden_column = table.column("hidden_size");
  const std::size_t inter_column = table.column("intermediate_size");
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const Format* format = reader.format(row, dtype);
    if (format == nullptr) {
      continue;
    }
    const double tokens = number(table.count(row, tokens_column, 1));
    const std::int64_t hidden = table.count(row, hidden_column, 1);
    const std::int64_t inter = table.count(row, inter_column, 1);
    Measurement m;
    m.seconds = table.positive(row, latency) * 1e-3;
    m.source = reader.file().operation + ":" + std::string(table.text(row, source));
    m.shape.key = {KernelKind::mlp, format->dtype, format->storage};
    m.shape.dims = {tokens, 1, number(hidden),         number(inter),           1,     1, 3,
                    tokens, 1, std::ceil(tokens / 64), std::ceil(tokens / 128), tokens};
    m.group = reader.group("mlp", format->our_name);
    m.shape_group = hash_of({hidden, inter});
    reader.add(row, m);
  }
}

}  // namespace moesim::detail
