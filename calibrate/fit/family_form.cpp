#include "calibrate/fit/family_form.h"

#include <array>

namespace moesim {
namespace {

// Names of Triton kernels in SGLang and vLLM.
bool is_triton(std::string_view kernel_source) {
  return kernel_source.find("triton") != std::string_view::npos ||
         kernel_source.find("fused_moe") != std::string_view::npos;
}

// Rows of one device cannot tell the rate of its memory from that of its second-level cache, which
// another device does not have in the same ratio: the cache is at least so many times as fast.
constexpr double k_cache_over_memory = 1 / 0.6;

}  // namespace

std::vector<FitParameter> fit_parameters(const KernelForm& form, const KernelKey& key,
                                         std::string_view kernel_source) {
  std::vector<FitParameter> parameters;
  const bool gemm = key.kind == KernelKind::gemm || key.kind == KernelKind::batched_gemm;
  const bool decode = without_window(key.kind) == KernelKind::attention_decode;
  const bool sixteen_bits = stored_bits(key.dtype) == 16;
  for (const Parameter& parameter : form.parameters) {
    FitParameter fit{parameter.start, parameter.min, parameter.max};
    if (gemm && parameter.name == "quantise" && sixteen_bits) {
      fit = {0, 0, 0, true};
    } else if (parameter.name == "split_max") {
      // Block-scaled (DeepGEMM) and batched kernels do not split the inner dimension.
      const bool whole = key.dtype == DType::fp8_block || key.kind == KernelKind::batched_gemm;
      fit = {whole ? 1.0 : 8.0, 1, 8, true};
    } else if (decode && parameter.name.starts_with("l2_") && parameter.name != "l2_share") {
      fit.max = 1 / k_cache_over_memory;
    } else if (decode && parameter.name.starts_with("e_mem")) {
      fit.min = 1;  // what the cache keeps is a term of its own
    } else if ((parameter.name == "few_tokens" && !is_triton(kernel_source)) ||
               (parameter.name == "e_comp" && key.kind == KernelKind::memory)) {
      fit = {1, 1, 1, true};
    }
    parameters.push_back(fit);
  }
  return parameters;
}

const KernelForm& form_of(KernelKind kind) {
  constexpr std::array<std::string_view, k_kernel_kinds> names{"gemm_tiles",
                                                               "gemm_tiles",
                                                               "moe_grouped",
                                                               "moe_grouped",
                                                               "attention_causal_tiles",
                                                               "attention_split_kv",
                                                               "mla_causal_tiles",
                                                               "mla_split_kv",
                                                               "stream",
                                                               "moe_grouped",
                                                               "mla_module_causal_tiles",
                                                               "mla_module_split_kv",
                                                               "attention_causal_tiles",
                                                               "attention_split_kv",
                                                               "counted",
                                                               "counted",
                                                               "counted",
                                                               "counted",
                                                               "counted",
                                                               "counted",
                                                               "counted",
                                                               "counted"};
  return *find_form(names.at(static_cast<std::size_t>(kind)));
}

}  // namespace moesim
