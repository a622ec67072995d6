// InferSim's kernel tables: DeepGEMM products, FlashAttention-3 and FlashInfer attention. Times in
// us; mfu is the share of the device's peak, which tells the number format and, where the file does
// not say how loads were drawn, how many rows were really computed.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "calibrate/tables/row_reader.h"

namespace moesim::detail {
namespace {

double peak_of(const RowReader& reader, DType dtype) {
  return kernel_context(reader.device(), {KernelKind::gemm, dtype, dtype}).peak;
}

// Which of the device's formats (block-scaled fp8, bf16) the file's utilisations refer to: the one
// whose peak is nearest to the median of work/time/mfu. nullptr when none is within a factor 1.25.
const Format* format_by_peak(const RowReader& reader, std::vector<double> peaks) {
  if (peaks.empty()) {
    return nullptr;
  }
  std::ranges::sort(peaks);
  const double median = peaks[peaks.size() / 2];
  for (const std::string_view name : {"fp8_block", "bfloat16"}) {
    const Format* format = find_format(name);
    if (supports(reader.device(), format->dtype) &&
        std::abs(std::log(median / peak_of(reader, format->dtype))) < std::log(1.25)) {
      return format;
    }
  }
  return nullptr;
}

constexpr std::string_view k_no_format = "utilisation fits no number format of the device";
// Utilisations are rounded to three digits after the point; smaller ones say too little.
constexpr double k_least_mfu = 0.02;

double share_of_peak(const CsvTable& table, std::size_t row, std::size_t column) {
  constexpr double most = 1.2;  // devices clock above their rated boost
  const double share = table.number(row, column);
  if (share < 0 || share > most) {
    table.fail(row, column, "is not a share of the device's peak, 0 to 1");
  }
  return share;
}

struct GroupedColumns {
  explicit GroupedColumns(const RowReader& reader)
      : local(reader.table().column("num_local_experts")),
        experts(reader.table().column("num_experts")),
        gpus(reader.table().column("num_gpus")),
        top_k(reader.table().column("topk")),
        hidden(reader.table().column("hidden_size")),
        inter(reader.table().column("intermediate_size")),
        mean(reader.table().column("tokens_per_expert")),
        up(reader.time_column("up_proj", "us")),
        down(reader.time_column("down_proj", "us")),
        up_mfu(reader.table().column("up_mfu")),
        down_mfu(reader.table().column("down_mfu")) {}
  std::size_t local, experts, gpus, top_k, hidden, inter, mean, up, down, up_mfu, down_mfu;
};

// The benchmarks draw each expert's rows evenly from 0.7 to 1.3 times the mean and cut them to
// whole ones, so that a mean of one row leaves half of the experts without any.
constexpr double k_spread = 0.3;

struct Drawn {
  double pairs = 0;
  double touched = 0;
};
Drawn drawn_rows(double mean, double experts) {
  constexpr int steps = 512;
  Drawn drawn;
  for (int i = 0; i < steps; ++i) {
    const double n = std::floor(mean * (1 - k_spread + 2 * k_spread * (i + 0.5) / steps));
    drawn.pairs += experts * n / steps;
    drawn.touched += n > 0 ? experts / steps : 0.0;
  }
  return drawn;
}

}  // namespace

std::vector<std::int64_t> widths_of(std::string_view subject, std::size_t count) {
  std::vector<std::int64_t> widths;
  while (true) {
    std::int64_t value = 0;
    const auto result = std::from_chars(subject.data(), subject.data() + subject.size(), value);
    if (result.ec != std::errc() || value < 1) {
      return {};
    }
    widths.push_back(value);
    subject.remove_prefix(static_cast<std::size_t>(result.ptr - subject.data()));
    if (subject.empty()) {
      return widths.size() == count ? widths : std::vector<std::int64_t>{};
    }
    if (subject.front() != '-') {
      return {};
    }
    subject.remove_prefix(1);
  }
}

void read_infersim_gemm(RowReader& reader) {
  const CsvTable& table = reader.table();
  const std::size_t latency = reader.time_column("latency", "us");
  const std::size_t mfu = table.column("mfu");
  const std::array<std::size_t, 3> columns{table.column("m"), table.column("n"), table.column("k")};
  const auto size = [&](std::size_t row, std::size_t i) {
    return number(table.count(row, columns[i], 1));
  };
  std::vector<double> peaks;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const double share = share_of_peak(table, row, mfu);
    const double seconds = table.positive(row, latency) * 1e-6;
    if (share > 0) {
      peaks.push_back(2 * size(row, 0) * size(row, 1) * size(row, 2) / seconds / share);
    }
  }
  const Format* format = format_by_peak(reader, std::move(peaks));
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (format == nullptr) {
      reader.skip(std::string(k_no_format));
      continue;
    }
    Measurement m;
    m.seconds = table.positive(row, latency) * 1e-6;
    m.source = "deepgemm";
    m.shape.key = {KernelKind::gemm, format->dtype, format->storage};
    m.shape.dims = {size(row, 0), size(row, 1), size(row, 2), 1};
    m.group = reader.group("gemm", format->our_name);
    m.shape_group = hash_of({table.count(row, columns[1], 1)});
    m.other_group = hash_of({table.count(row, columns[2], 1), 1});
    reader.add(row, m);
  }
}

// Both products of an expert; nothing else (no permutation, no activation).
void read_infersim_grouped_gemm(RowReader& reader) {
  const CsvTable& table = reader.table();
  const GroupedColumns c(reader);
  const bool masked = reader.file().operation.ends_with("decode");
  const auto work = [&](std::size_t row) {  // FLOP per pair of gate and up together
    return 4 * number(table.count(row, c.hidden, 1)) * number(table.count(row, c.inter, 1));
  };
  std::vector<double> peaks;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const double share = share_of_peak(table, row, c.up_mfu);
    constexpr std::int64_t steady = 8;  // rows per expert whose drawn mean is near the nominal one
    const std::int64_t mean = table.count(row, c.mean, 1);
    if (share >= k_least_mfu && mean >= steady) {
      peaks.push_back(work(row) * number(mean) * number(table.count(row, c.local, 1)) /
                      (table.positive(row, c.up) * 1e-6) / share);
    }
  }
  const Format* format = format_by_peak(reader, std::move(peaks));
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (format == nullptr) {
      reader.skip(std::string(k_no_format));
      continue;
    }
    const std::int64_t local = table.count(row, c.local, 1);
    const std::int64_t experts = table.count(row, c.experts, 1);
    const std::int64_t top_k = table.count(row, c.top_k, 1);
    const std::int64_t hidden = table.count(row, c.hidden, 1);
    const std::int64_t inter = table.count(row, c.inter, 1);
    const double mean = number(table.count(row, c.mean, 1));
    const double up = table.positive(row, c.up) * 1e-6;
    const double down = table.positive(row, c.down) * 1e-6;
    const double up_share = share_of_peak(table, row, c.up_mfu);
    const double down_share = share_of_peak(table, row, c.down_mfu);
    const Drawn drawn = drawn_rows(mean, number(local));
    double pairs = drawn.pairs;
    if (std::min(up_share, down_share) >= k_least_mfu) {
      const double computed =
          (up * up_share + down * down_share) * peak_of(reader, format->dtype) / (1.5 * work(row));
      const double nominal = mean * number(local);
      pairs = std::clamp(computed, (1 - k_spread) * nominal, (1 + k_spread) * nominal);
    }
    const MeanLoad load = spread_load(pairs, drawn.touched, (1 + k_spread) * pairs / drawn.touched);
    Measurement m;
    m.seconds = up + down;
    m.source = masked ? "deepgemm_masked" : "deepgemm_contiguous";
    m.shape.key = {KernelKind::moe,
                   format->dtype,
                   format->storage,
                   {.layout = masked ? ExpertLayout::masked : ExpertLayout::contiguous}};
    // The rows are already where their experts are: each pair enters as a row of its own.
    m.shape.dims = {std::max(1.0, std::round(load.pairs)),
                    number(top_k),
                    number(hidden),
                    number(inter),
                    number(local),
                    number(experts),
                    3,
                    load.pairs,
                    load.touched,
                    load.tiles_64,
                    load.tiles_128,
                    load.busiest};
    m.group =
        reader.group("moe", std::string(format->our_name) + (masked ? "/masked" : "/contiguous"));
    m.shape_group = hash_of({hidden, inter, top_k, experts});
    m.checkable = false;
    m.products_alone = true;
    KernelShape even = m.shape;
    even.dims[dim::pairs] = mean * number(local);
    even.dims[dim::touched] = std::min(number(local), even.dims[dim::pairs]);
    m.ideal = even;
    reader.add(row, m);
  }
}

void read_infersim_mha(RowReader& reader) {
  const CsvTable& table = reader.table();
  const bool decode = reader.file().operation.ends_with("decode");
  const auto widths = widths_of(reader.file().subject, 3);
  const std::size_t latency = reader.time_column("latency", "us");
  const std::size_t dtype = table.column("dtype");
  const std::size_t kv_dtype = decode ? table.column("kv_dtype") : dtype;
  const std::size_t batch = decode ? table.column("batch_size") : dtype;
  const std::size_t length = table.column(decode ? "kv_len" : "seq_len");
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (widths.empty()) {
      reader.skip("file name does not give HEADS-KV_HEADS-HEAD_DIM: " + reader.file().subject);
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
    const double keys = number(table.count(row, length, 1));
    Measurement m;
    m.seconds = table.positive(row, latency) * 1e-6;
    m.source = decode ? "flashinfer" : "flash_attention_3";
    m.shape.key = {decode ? KernelKind::attention_decode : KernelKind::attention_context,
                   format->dtype, kv->storage};
    m.shape.dims = {decode ? number(table.count(row, batch, 1)) : 1.0,
                    decode ? 1.0 : keys,
                    keys,
                    number(widths[0]),
                    number(widths[1]),
                    number(widths[2])};
    m.group = reader.group("attention", (decode ? "generation_" : "context_") +
                                            std::string(format->our_name) + "/d" +
                                            std::to_string(widths[2]));
    // In order of size, so that neighbours are left out at different times: a fold without any wide
    // group of query heads could not say how long these take.
    m.shape_group = static_cast<std::uint64_t>((widths[0] << 32) + (widths[1] << 16) + widths[2]);
    reader.add(row, m);
  }
}

// File names: decode HEADS-LATENT-ROPE (absorbed), prefill HEADS-NOPE-ROPE (expanded; values as
// wide as the part without rotary embedding).
void read_infersim_mla(RowReader& reader) {
  const CsvTable& table = reader.table();
  const bool decode = reader.file().operation.ends_with("decode");
  const auto widths = widths_of(reader.file().subject, 3);
  const std::size_t latency = reader.time_column("latency", "us");
  const std::size_t dtype = table.column("dtype");
  const std::size_t kv_dtype = decode ? table.column("kv_dtype") : dtype;
  const std::size_t batch = decode ? table.column("batch_size") : dtype;
  const std::size_t length = table.column(decode ? "kv_len" : "seq_len");
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (widths.empty()) {
      reader.skip("file name does not give HEADS-WIDTH-ROPE: " + reader.file().subject);
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
    const double keys = number(table.count(row, length, 1));
    MlaOp op;
    (decode ? op.latent_dim : op.nope_dim) = widths[1];
    op.value_dim = decode ? op.value_dim : widths[1];
    op.rope_dim = widths[2];
    Measurement m;
    m.seconds = table.positive(row, latency) * 1e-6;
    m.source = decode ? "flashinfer" : "flash_attention_3";
    m.shape.key = {decode ? KernelKind::mla_decode : KernelKind::mla_context, format->dtype,
                   kv->storage};
    m.shape.dims = {decode ? number(table.count(row, batch, 1)) : 1.0,
                    decode ? 1.0 : keys,
                    keys,
                    number(widths[0]),
                    number(op.latent_dim),
                    number(op.rope_dim),
                    number(op.nope_dim),
                    number(op.value_dim)};
    m.group =
        reader.group("mla", (decode ? "generation_" : "context_") + std::string(format->our_name));
    m.shape_group = hash_of({widths[0]});
    reader.add(row, m);
  }
}

}  // namespace moesim::detail
