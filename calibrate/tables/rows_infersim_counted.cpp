// InferSim's tables of kernels that are known by their counted work: sparse attention with its
// indexer (FlashMLA, DeepGEMM) and gated delta nets (Triton). Times in us.
#include <filesystem>

#include "calibrate/tables/row_reader.h"
#include "models/operators/counted_ops.h"

namespace moesim::detail {
namespace {

constexpr double k_us = 1e-6;

std::string group_of(const RowReader& reader, std::string_view operation, bool decode,
                     std::string_view format) {
  std::string rest(decode ? "generation_" : "context_");
  return reader.group(operation, rest.append(format));
}

// A batch of so many sequences (prefill: one prompt).
CountedBatch batch_of(bool decode, std::int64_t sequences, std::int64_t query_len,
                      std::int64_t context) {
  return {decode ? Phase::decode : Phase::prefill, sequences, query_len, context};
}

// File names: logits-HEADS-HEAD_DIM.
void read_logits(RowReader& reader, std::string_view subject, bool decode) {
  const CsvTable& table = reader.table();
  const auto widths = widths_of(subject, 2);
  const std::size_t latency = reader.time_column("latency", "us");
  const std::size_t queries = table.column(decode ? "next_n" : "s_q");
  const std::size_t keys = table.column("s_kv");
  const std::size_t sequences = decode ? table.column("batchsize") : keys;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (widths.empty()) {
      reader.skip("file name does not give HEADS-HEAD_DIM: " + reader.file().subject);
      continue;
    }
    if (!reader.computes(DType::fp8, "fp8")) {
      continue;
    }
    const std::int64_t context = table.count(row, keys, 1);
    const std::int64_t query_len = table.count(row, queries, 1);
    if (query_len > context) {
      table.fail(row, queries, "is more than the keys, which count the new tokens too");
    }
    Measurement m;
    m.seconds = table.positive(row, latency) * k_us;
    m.source = decode ? "deepgemm_paged_mqa_logits" : "deepgemm_mqa_logits";
    const auto batch =
        batch_of(decode, decode ? table.count(row, sequences, 1) : 1, query_len, context);
    m.shape = shape_of(indexer_op(batch, widths[0], widths[1], 1));
    m.group = group_of(reader, "indexer", decode, "fp8");
    m.shape_group = hash_of({context});
    reader.add(row, m);
  }
}

// File names: attn-HEADS-LATENT_AND_ROPE-TOP_K. The rotary part is 64 wide in every model that has
// such attention. Where the file has no format of the cache, it is the attention's.
void read_chosen(RowReader& reader, std::string_view subject, bool decode) {
  constexpr std::int64_t rope = 64;
  const CsvTable& table = reader.table();
  const auto widths = widths_of(subject, 3);
  const std::size_t latency = reader.time_column("latency", "us");
  const std::size_t dtype = table.column("dtype");
  const std::size_t kv_dtype = decode ? table.column("kv_dtype") : dtype;
  const std::size_t keys = table.column(decode ? "kv_len" : "s_kv");
  const std::size_t sequences = decode ? table.column("batch_size") : keys;
  const std::size_t queries = decode ? keys : table.column("s_q");
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (widths.empty() || widths[1] <= rope) {
      reader.skip("file name does not give HEADS-WIDTH-TOP_K: " + reader.file().subject);
      continue;
    }
    const Format* format = reader.format(row, dtype);
    if (format == nullptr) {
      continue;
    }
    const Format* kv = find_format(table.text(row, kv_dtype));
    if (kv == nullptr) {
      reader.skip("format not modelled: KV cache");
      continue;
    }
    const std::int64_t context = table.count(row, keys, 1);
    const std::int64_t query_len = decode ? 1 : table.count(row, queries, 1);
    if (query_len > context) {
      table.fail(row, queries, "is more than the keys, which count the new tokens too");
    }
    Measurement m;
    m.seconds = table.positive(row, latency) * k_us;
    m.source = decode ? "flashmla_sparse_decode" : "flashmla_sparse_prefill";
    const auto batch =
        batch_of(decode, decode ? table.count(row, sequences, 1) : 1, query_len, context);
    m.shape = shape_of(sparse_latent_op(
        batch, {.heads = widths[0], .latent = widths[1] - rope, .rope = rope, .top_k = widths[2]},
        format->dtype, kv->storage, DType::bf16));
    m.group = group_of(reader, "sparse_attention", decode, format->our_name);
    m.shape_group = hash_of({context});
    reader.add(row, m);
  }
}

// Of two files with the same times for different widths that with more heads is a copy under a
// wrong name: the project's decode times of 64 heads would need more than the memory's rate.
bool repeats_other_widths(const RowReader& reader, const std::vector<std::int64_t>& widths) {
  namespace fs = std::filesystem;
  const fs::path own = reader.file().path;
  const std::string stem = own.stem().string();
  const std::string common = stem.substr(0, stem.size() - reader.file().subject.size());
  for (const auto& entry : fs::directory_iterator(own.parent_path())) {
    const std::string other = entry.path().stem().string();
    if (entry.path().extension() != ".csv" || !other.starts_with(common) || other == stem) {
      continue;
    }
    const auto theirs = widths_of(std::string_view(other).substr(common.size()), widths.size());
    if (theirs.empty() || theirs[3] >= widths[3]) {
      continue;
    }
    const CsvTable table = CsvTable::read(entry.path().string());
    bool same =
        table.rows() == reader.table().rows() && table.columns() == reader.table().columns();
    for (std::size_t row = 0; same && row < table.rows(); ++row) {
      for (std::size_t column = 0; same && column < table.columns(); ++column) {
        same = table.text(row, column) == reader.table().text(row, column);
      }
    }
    if (same) {
      return true;
    }
  }
  return false;
}

}  // namespace

void read_infersim_dsa(RowReader& reader) {
  const std::string_view subject = reader.file().subject;
  const bool decode = reader.file().operation.ends_with("decode");
  constexpr std::string_view logits = "logits-";
  constexpr std::string_view chosen = "attn-";
  if (subject.starts_with(logits)) {
    read_logits(reader, subject.substr(logits.size()), decode);
  } else if (subject.starts_with(chosen)) {
    read_chosen(reader, subject.substr(chosen.size()), decode);
  } else {
    for (std::size_t row = 0; row < reader.table().rows(); ++row) {
      reader.skip("sparse attention's kernel is not known: " + reader.file().subject);
    }
  }
}

// File names: WIDTH-KEY_HEADS-KEY_DIM-VALUE_HEADS-VALUE_DIM, WIDTH of the convolution. Two times a
// line: the convolution, and the kernels of the delta rule together.
void read_infersim_gdn(RowReader& reader) {
  const CsvTable& table = reader.table();
  const bool decode = reader.file().operation.ends_with("decode");
  const auto widths = widths_of(reader.file().subject, 5);
  const std::size_t size = table.column(decode ? "batchsize" : "seq_len");
  const std::size_t conv = table.column("conv");
  std::vector<std::size_t> parts;
  if (decode) {
    parts.push_back(table.column("gdn_update"));
  } else {
    for (const std::string_view part : {"kkt", "tril", "wu", "chunk_gdn", "chunk_o"}) {
      parts.push_back(table.column(part));
    }
  }
  const bool copied = !widths.empty() && repeats_other_widths(reader, widths);
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (copied) {
      reader.skip("gated delta net: repeats another file's times, for other widths");
      continue;
    }
    if (widths.empty()) {
      reader.skip("file name does not give WIDTH-KEY_HEADS-KEY_DIM-VALUE_HEADS-VALUE_DIM: " +
                  reader.file().subject);
      continue;
    }
    const std::int64_t count = table.count(row, size, 1);
    const CountedBatch batch =
        decode ? batch_of(true, count, 1, 1) : batch_of(false, 1, count, count);
    Measurement m;
    m.shape_group = hash_of({widths[3]});
    m.seconds = table.positive(row, conv) * k_us;
    m.source = decode ? "causal_conv1d_update" : "causal_conv1d";
    const std::int64_t channels = 2 * widths[1] * widths[2] + widths[3] * widths[4];
    m.shape = shape_of(short_convolution_op(batch, channels, widths[0], DType::bf16));
    m.group = group_of(reader, "convolution", decode, "bf16");
    reader.add(row, m);
    m.seconds = 0;
    for (const std::size_t part : parts) {
      m.seconds += table.positive(row, part) * k_us;
    }
    m.source = decode ? "gated_delta_update" : "chunk_gated_delta";
    m.shape = shape_of(linear_attention_op(
        batch, {.heads = widths[3], .key_dim = widths[2], .value_dim = widths[4], .delta = true},
        DType::bf16, DType::bf16));
    m.group = group_of(reader, "linear_attention", decode, "bf16");
    reader.add(row, m);
  }
}

}  // namespace moesim::detail
