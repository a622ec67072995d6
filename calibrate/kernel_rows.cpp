#include "calibrate/kernel_rows.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "calibrate/csv.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

namespace fs = std::filesystem;

struct Format {
  std::string_view data_name;
  DType dtype;
  DType storage;
  std::string_view our_name;
};
// Formats of the published tables. nvfp4 and mxfp4: 4-bit values whose block scales we leave out.
constexpr std::array formats{Format{"bfloat16", DType::bf16, DType::bf16, "bf16"},
                             Format{"float16", DType::fp16, DType::fp16, "fp16"},
                             Format{"fp8", DType::fp8, DType::fp8, "fp8"},
                             Format{"fp8_block", DType::fp8_block, DType::fp8_block, "fp8_block"},
                             Format{"int8", DType::int8, DType::int8, "int8"},
                             Format{"int4_wo", DType::bf16, DType::int4, "int4_wo"},
                             Format{"w4a16_mxfp4", DType::bf16, DType::fp4, "w4a16_mxfp4"},
                             Format{"nvfp4", DType::fp4, DType::fp4, "nvfp4"}};

const Format* find_format(std::string_view name) {
  const auto found = std::ranges::find(formats, name, &Format::data_name);
  return found == formats.end() ? nullptr : &*found;
}

class Reader {
 public:
  Reader(const CsvTable& table, const DevicePeaks& device, KernelRows& out, LoadGenerator& loads)
      : table_(table), device_(device), out_(out), loads_(loads) {
    latency_ = table.column("latency_ms");
    source_ = table.column("kernel_source");
  }

  void gemm();
  void moe();
  void attention(bool context);
  void mla(bool context);
  void mla_bmm();
  void quantise(bool two_passes);

 private:
  static std::uint16_t index_of(std::vector<std::string>& names, std::string_view name) {
    auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      names.emplace_back(name);
      found = names.end() - 1;
    }
    return static_cast<std::uint16_t>(found - names.begin());
  }
  // The format of a column, or nullptr after the row was counted as skipped.
  const Format* format(std::size_t row, std::size_t column) {
    const Format* found = find_format(table_.text(row, column));
    if (found == nullptr) {
      ++out_.skipped["format not modelled: " + std::string(table_.text(row, column))];
    } else if (!supports(device_, found->dtype)) {
      ++out_.skipped["the device has no rate for " + std::string(found->our_name)];
      found = nullptr;
    }
    return found;
  }
  [[nodiscard]] std::string group(std::string_view operation, const std::string& rest) const {
    return std::string(operation) + "/" + out_.file.framework + "/" + out_.file.system + "/" + rest;
  }
  void add(std::size_t row, const KernelShape& shape, const std::string& group_name,
           std::uint64_t shape_group, bool checkable, const KernelShape* ideal = nullptr,
           std::string_view source_prefix = {}) {
    KernelRow out;
    out.shape = shape;
    out.seconds = table_.positive(row, latency_) * 1e-3;
    const KernelContext context = kernel_context(device_, shape.key);
    const UsefulWork work = useful_work(ideal != nullptr ? *ideal : shape, context);
    out.naive_seconds = std::max(work.flops / context.peak, work.bytes / context.bandwidth);
    out.source =
        index_of(out_.sources, std::string(source_prefix) + std::string(table_.text(row, source_)));
    out.group = index_of(out_.groups, group_name);
    out.shape_group = shape_group;
    out.checkable = checkable;
    out.line = table_.line(row);
    out_.rows.push_back(out);
  }

  const CsvTable& table_;
  const DevicePeaks& device_;
  KernelRows& out_;
  LoadGenerator& loads_;
  std::size_t latency_ = 0;
  std::size_t source_ = 0;
};

std::uint64_t hash_of(std::initializer_list<std::int64_t> values) {
  std::uint64_t hash = 0;
  for (const std::int64_t value : values) {
    hash = mix64(hash ^ static_cast<std::uint64_t>(value));
  }
  return hash;
}

double number(std::int64_t value) { return static_cast<double>(value); }

void Reader::gemm() {
  const std::size_t dtype = table_.column("gemm_dtype");
  const std::size_t m = table_.column("m");
  const std::size_t n = table_.column("n");
  const std::size_t k = table_.column("k");
  for (std::size_t row = 0; row < table_.rows(); ++row) {
    const Format* format_of = format(row, dtype);
    if (format_of == nullptr) {
      continue;
    }
    KernelShape shape;
    shape.key = {KernelKind::gemm, format_of->dtype, format_of->storage};
    const std::int64_t columns = table_.count(row, n, 1);
    const std::int64_t depth = table_.count(row, k, 1);
    shape.dims = {number(table_.count(row, m, 1)), number(columns), number(depth), 1};
    add(row, shape, group("gemm", std::string(format_of->our_name)), hash_of({columns}), true);
    out_.rows.back().other_group = hash_of({depth, 1});
  }
}

// Exponent of "power_law_1.2", 0 for "balanced"; nullopt for a law that we do not simulate.
std::optional<double> exponent_of(std::string_view distribution) {
  if (distribution == "balanced" || distribution == "uniform") {
    return 0.0;
  }
  constexpr std::string_view prefix = "power_law_";
  double value = 0;
  if (!distribution.starts_with(prefix)) {
    return std::nullopt;
  }
  const char* end = distribution.data() + distribution.size();
  const auto result = std::from_chars(distribution.data() + prefix.size(), end, value);
  const bool usable = result.ec == std::errc() && result.ptr == end && value > 0 && value != 1;
  return usable ? std::optional(value) : std::nullopt;
}

void Reader::moe() {
  const std::size_t dtype = table_.column("moe_dtype");
  const std::size_t distribution = table_.column("distribution");
  const std::array<std::size_t, 7> columns{
      table_.column("num_tokens"), table_.column("hidden_size"), table_.column("inter_size"),
      table_.column("topk"),       table_.column("num_experts"), table_.column("moe_tp_size"),
      table_.column("moe_ep_size")};
  for (std::size_t row = 0; row < table_.rows(); ++row) {
    const Format* format_of = format(row, dtype);
    if (format_of == nullptr) {
      continue;
    }
    std::array<std::int64_t, 7> v{};
    for (std::size_t i = 0; i < columns.size(); ++i) {
      v[i] = table_.count(row, columns[i], 1);
    }
    const auto [tokens, hidden, inter, top_k, experts, tp, ep] = v;
    const auto exponent = exponent_of(table_.text(row, distribution));
    if (!exponent) {
      ++out_.skipped["expert distribution not simulated: " +
                     std::string(table_.text(row, distribution))];
      continue;
    }
    if (ep > 1 && out_.file.system == "a100_sxm" && out_.file.framework == "sglang") {
      // At many tokens 8 ranks cost as much as one: the timed rank computed more than its share.
      ++out_.skipped["SGLang on A100 with several expert ranks: times do not depend on the ranks"];
      continue;
    }
    if (experts % ep != 0 || inter % tp != 0 || top_k > experts) {
      ++out_.skipped["experts or widths do not divide over the ranks"];
      continue;
    }
    const MeanLoad& load = loads_.load({tokens, top_k, experts, ep, *exponent});
    // The benchmarks' only shape without a gate (two matrices) is (512 experts, top-22).
    const bool gated = !(experts == 512 && top_k == 22);
    KernelShape shape;
    shape.key = {gated ? KernelKind::moe : KernelKind::moe_ungated, format_of->dtype,
                 format_of->storage};
    shape.dims = {number(tokens),       number(top_k),   number(hidden),    number(inter / tp),
                  number(experts / ep), number(experts), gated ? 3.0 : 2.0, load.pairs,
                  load.touched,         load.tiles_64,   load.tiles_128,    load.busiest};
    // What a reader without the benchmark's source would assume: evenly spread pairs.
    KernelShape ideal = shape;
    ideal.dims[dim::pairs] = number(tokens * top_k) / number(ep);
    ideal.dims[dim::touched] = std::min(number(experts / ep), std::ceil(ideal.dims[dim::pairs]));
    const bool balanced = *exponent <= 0;
    add(row, shape, group("moe", std::string(format_of->our_name)),
        hash_of({hidden, inter, top_k, experts}), balanced, balanced ? nullptr : &ideal);
  }
}

void Reader::attention(bool context) {
  const std::size_t dtype = table_.column("attn_dtype");
  const std::size_t kv_dtype = table_.column("kv_cache_dtype");
  const std::array<std::size_t, 6> columns{
      table_.column("batch_size"),          table_.column("isl"),      table_.column("num_heads"),
      table_.column("num_key_value_heads"), table_.column("head_dim"), table_.column("step")};
  const bool has_window = table_.has("window_size");
  const std::size_t window = has_window ? table_.column("window_size") : 0;
  for (std::size_t row = 0; row < table_.rows(); ++row) {
    const Format* format_of = format(row, dtype);
    if (format_of == nullptr) {
      continue;
    }
    const Format* kv = find_format(table_.text(row, kv_dtype));
    if (kv == nullptr || (has_window && table_.count(row, window, 0) > 0)) {
      ++out_.skipped[kv == nullptr ? "format not modelled: KV cache" : "sliding-window attention"];
      continue;
    }
    std::array<std::int64_t, 6> v{};
    for (std::size_t i = 0; i < columns.size(); ++i) {
      v[i] = table_.count(row, columns[i], i == 5 ? 0 : 1);
    }
    const auto [batch, isl, heads, kv_heads, head_dim, step] = v;
    KernelShape shape;
    shape.key = {context ? KernelKind::attention_context : KernelKind::attention_decode,
                 format_of->dtype, kv->storage};
    shape.dims = {number(batch), number(context ? isl : 1), number(isl + step),
                  number(heads), number(kv_heads),          number(head_dim)};
    const std::string phase = context ? "context_" : "generation_";
    add(row, shape,
        group("attention",
              phase + std::string(format_of->our_name) + "/d" + std::to_string(head_dim)),
        hash_of({heads}), true);
  }
}

void Reader::mla(bool context) {
  const std::size_t dtype = table_.column("mla_dtype");
  const std::size_t kv_dtype = table_.column("kv_cache_dtype");
  const std::array<std::size_t, 4> columns{table_.column("batch_size"), table_.column("isl"),
                                           table_.column("num_heads"), table_.column("step")};
  for (std::size_t row = 0; row < table_.rows(); ++row) {
    const Format* format_of = format(row, dtype);
    if (format_of == nullptr) {
      continue;
    }
    const Format* kv = find_format(table_.text(row, kv_dtype));
    if (kv == nullptr) {
      ++out_.skipped["format not modelled: KV cache"];
      continue;
    }
    const std::int64_t batch = table_.count(row, columns[0], 1);
    const std::int64_t isl = table_.count(row, columns[1], 1);
    const std::int64_t heads = table_.count(row, columns[2], 1);
    const std::int64_t step = table_.count(row, columns[3], 0);
    KernelShape shape;
    shape.key = {context ? KernelKind::mla_context : KernelKind::mla_decode, format_of->dtype,
                 kv->storage};
    const MlaOp widths;  // the tables hold DeepSeek's only
    shape.dims = {number(batch),           number(context ? isl : 1), number(isl + step),
                  number(heads),           number(widths.latent_dim), number(widths.rope_dim),
                  number(widths.nope_dim), number(widths.value_dim)};
    const std::string phase = context ? "context_" : "generation_";
    add(row, shape, group("mla", phase + std::string(format_of->our_name)), hash_of({heads}), true);
  }
}

void Reader::mla_bmm() {
  const std::size_t op = table_.column("op_name");
  const std::size_t dtype = table_.column("bmm_dtype");
  const std::size_t tokens = table_.column("num_tokens");
  const std::size_t heads = table_.column("num_heads");
  const MlaOp widths;
  for (std::size_t row = 0; row < table_.rows(); ++row) {
    const Format* format_of = format(row, dtype);
    if (format_of == nullptr) {
      continue;
    }
    const std::string_view name = table_.text(row, op);
    if (name != "mla_gen_pre" && name != "mla_gen_post") {
      ++out_.skipped["batched product not known: " + std::string(name)];
      continue;
    }
    const bool before = name == "mla_gen_pre";
    const std::int64_t count = table_.count(row, heads, 1);
    KernelShape shape;
    shape.key = {KernelKind::batched_gemm, format_of->dtype, format_of->storage};
    shape.dims = {number(table_.count(row, tokens, 1)),
                  number(before ? widths.latent_dim : widths.value_dim),
                  number(before ? widths.nope_dim : widths.latent_dim), number(count)};
    add(row, shape, group("mla_bmm", std::string(format_of->our_name)), hash_of({count}), true);
  }
}

// Quantising m x k bf16 values to 8 bits reads 2 and writes 1 byte each; finding the scale first
// reads all of them once more.
void Reader::quantise(bool two_passes) {
  const std::size_t m = table_.column("m");
  const std::size_t k = table_.column("k");
  for (std::size_t row = 0; row < table_.rows(); ++row) {
    const std::int64_t width = table_.count(row, k, 1);
    const double values = number(table_.count(row, m, 1)) * number(width);
    KernelShape shape;
    shape.key = {KernelKind::memory, DType::bf16, DType::bf16};
    shape.dims = {(two_passes ? 4 : 2) * values, values};
    add(row, shape, group(two_passes ? "computescale" : "scale_matrix", "fp8"), hash_of({width}),
        true, nullptr, two_passes ? "two_passes:" : "one_pass:");
  }
}

}  // namespace

std::vector<MeasuredFile> measured_files(const std::string& dir) {
  std::error_code error;
  std::vector<std::string> paths;
  fs::recursive_directory_iterator walk(dir, error);
  if (error) {
    throw ConfigError(dir, "is not a folder that can be read");
  }
  for (const auto& entry : walk) {
    if (entry.is_regular_file() && entry.path().extension() == ".csv") {
      paths.push_back(entry.path().generic_string());
    }
  }
  if (paths.empty()) {
    throw ConfigError(dir, "holds no *.csv; expected SYSTEM/OPERATION__FRAMEWORK-VERSION.csv");
  }
  std::ranges::sort(paths);
  std::vector<MeasuredFile> files;
  for (const std::string& path : paths) {
    MeasuredFile file;
    file.path = path;
    const std::string stem = fs::path(path).stem().string();
    const std::size_t cut = stem.find("__");
    file.operation = stem.substr(0, cut);
    file.system = fs::absolute(path).lexically_normal().parent_path().filename().string();
    if (cut != std::string::npos) {
      const std::string engine = stem.substr(cut + 2);
      const std::size_t dash = engine.find('-');
      file.framework = engine.substr(0, dash);
      file.version = dash == std::string::npos ? "" : engine.substr(dash + 1);
    }
    files.push_back(file);
  }
  return files;
}

KernelRows read_kernel_rows(const MeasuredFile& file, const DeviceLookup& devices,
                            LoadGenerator& loads) {
  struct Operation {
    std::string_view name;
    void (*read)(Reader&);
  };
  constexpr std::array operations{
      Operation{"gemm", [](Reader& r) { r.gemm(); }},
      Operation{"moe", [](Reader& r) { r.moe(); }},
      Operation{"context_attention", [](Reader& r) { r.attention(true); }},
      Operation{"generation_attention", [](Reader& r) { r.attention(false); }},
      Operation{"context_mla", [](Reader& r) { r.mla(true); }},
      Operation{"generation_mla", [](Reader& r) { r.mla(false); }},
      Operation{"mla_bmm", [](Reader& r) { r.mla_bmm(); }},
      Operation{"computescale", [](Reader& r) { r.quantise(true); }},
      Operation{"scale_matrix", [](Reader& r) { r.quantise(false); }}};
  KernelRows out;
  out.file = file;
  const auto operation = std::ranges::find(operations, file.operation, &Operation::name);
  if (operation == operations.end() || file.framework.empty()) {
    const bool kernel = file.operation.starts_with("mla_") || file.operation.starts_with("wideep");
    out.skipped[(kernel ? "no model of this kernel: " : "not a kernel file: ") + file.operation] =
        count_csv_rows(file.path);
    return out;
  }
  const auto device = devices(file.system);
  if (!device) {
    out.skipped["no spec sheet of the system: " + file.system] = count_csv_rows(file.path);
    return out;
  }
  const CsvTable table = CsvTable::read(file.path);
  out.device = *device;
  out.citation = table.comment();
  out.rows.reserve(table.rows());
  Reader reader(table, *device, out, loads);
  operation->read(reader);
  return out;
}

bool beats_physics(const KernelRow& row, const DevicePeaks& device) {
  if (!row.checkable) {
    return false;
  }
  const KernelContext context = kernel_context(device, row.shape.key);
  const UsefulWork work = useful_work(row.shape, context);
  const double memory = (work.bytes - context.l2) / context.bandwidth;
  return row.seconds < work.flops / context.peak || row.seconds < memory;
}

}  // namespace moesim
