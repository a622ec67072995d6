#include "calibrate/tables/kernel_rows.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "calibrate/tables/row_reader.h"
#include "sim/core/csv.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

struct Operation {
  std::string_view layout;
  std::string_view name;
  detail::ReadRows read;
};
// Every file that holds kernel times.
constexpr std::array operations{
    Operation{"main", "gemm", detail::read_gemm},
    Operation{"main", "moe", detail::read_moe},
    Operation{"main", "wideep_moe", detail::read_wideep_moe},
    Operation{"main", "wideep_context_moe", detail::read_wideep_context_moe},
    Operation{"main", "wideep_generation_moe", detail::read_wideep_generation_moe},
    Operation{"main", "wideep_context_mlp", detail::read_wideep_mlp},
    Operation{"main", "wideep_generation_mlp", detail::read_wideep_mlp},
    Operation{"main", "context_attention", detail::read_context_attention},
    Operation{"main", "generation_attention", detail::read_generation_attention},
    Operation{"main", "context_mla", detail::read_context_mla},
    Operation{"main", "generation_mla", detail::read_generation_mla},
    Operation{"main", "mla_context_module", detail::read_mla_context_module},
    Operation{"main", "mla_generation_module", detail::read_mla_generation_module},
    Operation{"main", "mla_bmm", detail::read_mla_bmm},
    Operation{"main", "computescale", detail::read_computescale},
    Operation{"main", "scale_matrix", detail::read_scale_matrix},
    Operation{"infersim", "gemm", detail::read_infersim_gemm},
    Operation{"infersim", "grouped_gemm_prefill", detail::read_infersim_grouped_gemm},
    Operation{"infersim", "grouped_gemm_decode", detail::read_infersim_grouped_gemm},
    Operation{"infersim", "mha_prefill", detail::read_infersim_mha},
    Operation{"infersim", "mha_decode", detail::read_infersim_mha},
    Operation{"infersim", "mla_prefill", detail::read_infersim_mla},
    Operation{"infersim", "mla_decode", detail::read_infersim_mla},
    Operation{"infersim", "dsa_prefill", detail::read_infersim_dsa},
    Operation{"infersim", "dsa_decode", detail::read_infersim_dsa},
    Operation{"infersim", "gdn_prefill", detail::read_infersim_gdn},
    Operation{"infersim", "gdn_decode", detail::read_infersim_gdn},
    Operation{"llmservingsim", "dense", detail::read_llmservingsim_dense},
    Operation{"llmservingsim", "per_sequence", detail::read_llmservingsim_per_sequence},
    Operation{"llmservingsim", "attention", detail::read_llmservingsim_attention},
    Operation{"llmservingsim", "moe", detail::read_llmservingsim_moe},
    Operation{"frontier", "moe", detail::read_frontier_moe},
    Operation{"frontier", "moe_kernel_only", detail::read_frontier_moe},
    Operation{"frontier", "attention_kernel_only", detail::read_frontier_attention},
    Operation{"frontier", "linear_op_kernel_only", detail::read_frontier_linear},
    Operation{"vidur", "mlp", detail::read_vidur_mlp}};

// Tables that print rates, rounded, of kernels whose times are measured elsewhere.
constexpr std::array<std::string_view, 6> rates{
    "deepgemm_h800_dense",  "deepgemm_h800_grouped_contiguous", "deepgemm_h800_grouped_masked",
    "deepgemm_megamoe_ep8", "deepgemm_megamoe_sm90_ep8",        "flashmla_peaks"};

std::string why_not_read(std::string_view operation) {
  return std::ranges::find(rates, operation) != rates.end() ? "published rates, no measured times: "
                                                            : "not a kernel file: ";
}

// First seven digits of the commit that the file's comment cites; "unversioned" without one.
std::string commit_of(const std::string& comment) {
  constexpr std::string_view word = "commit ";
  constexpr std::size_t digits = 7;
  const std::size_t at = comment.find(word);
  if (at == std::string::npos) {
    return "unversioned";
  }
  const std::string commit = comment.substr(at + word.size(), digits);
  const bool hex = commit.find_first_not_of("0123456789abcdef") == std::string::npos;
  return hex && commit.size() == digits ? commit : "unversioned";
}

// Repeats of a case may differ; times this much apart are of different cases.
constexpr double k_repeats_differ = 10;

// Rows of the main layout name their case in all columns but the time.
void check_repeats(const CsvTable& table) {
  const std::size_t latency = table.column("latency_ms");
  std::unordered_map<std::string, std::size_t> first;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    std::string key;
    for (std::size_t column = 0; column < table.columns(); ++column) {
      key.append(column == latency ? std::string_view() : table.text(row, column)).push_back(',');
    }
    const auto [entry, is_new] = first.try_emplace(std::move(key), row);
    if (is_new) {
      continue;
    }
    const double ratio = table.positive(row, latency) / table.positive(entry->second, latency);
    if (ratio > k_repeats_differ || ratio < 1 / k_repeats_differ) {
      table.fail(row, latency,
                 "contradicts line " + std::to_string(table.line(entry->second)) +
                     ", which times the same case");
    }
  }
}

}  // namespace

KernelRows read_kernel_rows(const MeasuredFile& file, const DeviceLookup& devices,
                            LoadGenerator& loads) {
  KernelRows out;
  out.file = file;
  const auto* const operation = std::ranges::find_if(operations, [&](const Operation& o) {
    return o.layout == file.layout && o.name == file.operation;
  });
  if (operation == operations.end()) {
    out.skipped[why_not_read(file.operation) + file.operation] = count_csv_rows(file.path);
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
  if (file.version.empty()) {
    out.file.version = commit_of(table.comment());
  }
  out.rows.reserve(table.rows());
  detail::RowReader reader(table, *device, out, loads);
  operation->read(reader);
  reader.finish();
  if (file.layout == "main") {
    check_repeats(table);
  }
  return out;
}

bool beats_physics(const KernelRow& row, const DevicePeaks& device) {
  if (!row.checkable) {
    return false;
  }
  return row.seconds < least_seconds(useful_work(row.shape), kernel_context(device, row.shape.key));
}

}  // namespace moesim
