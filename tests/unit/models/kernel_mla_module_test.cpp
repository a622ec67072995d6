// Attention modules timed as one: the same work as the operators that an engine runs for them.
#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "kernel_test_support.h"
#include "models/kernels/kernel_form.h"
#include "models/kernels/kernel_library.h"
#include "models/network/moe_model.h"
#include "models/operators/operators.h"

using namespace moesim;

namespace {

KernelShape module_shape(bool context, double sequences, double query_len, double keys,
                         double heads) {
  KernelShape shape;
  shape.key = {context ? KernelKind::mla_module_context : KernelKind::mla_module_decode,
               DType::bf16, DType::bf16};
  shape.dims = {sequences, query_len, keys, heads, 512, 64, 128, 128, 7168, 1536};
  return shape;
}

// FLOPs of the products and of the attention proper of one DeepSeek-V3 block.
double operator_flops(const AttentionBatch& batch, std::int64_t tp) {
  const MoeModel model = load_model(nlohmann::json("deepseek-v3"), "deepseek-v3",
                                    {MOESIM_SOURCE_DIR "/models/catalog"});
  double flops = 0;
  for (const Op& op : attention_ops(model, model.layer(0), batch, {}, tp)) {
    flops += flops_of(op.shape).si();
  }
  return flops;
}

}  // namespace

TEST_CASE("a module does the arithmetic of its operators", "[models][unit]") {
  for (const std::int64_t tp : {1, 4, 32}) {
    const double heads = 128.0 / static_cast<double>(tp);
    CAPTURE(tp);
    const double prefill = useful_work(module_shape(true, 3, 512, 2048, heads)).flops;
    CHECK(prefill == Approx(operator_flops({Phase::prefill, 3, 512, 2048, 0}, tp)).epsilon(1e-9));
    const double decode = useful_work(module_shape(false, 64, 1, 4096, heads)).flops;
    CHECK(decode == Approx(operator_flops({Phase::decode, 64, 1, 4096, 0}, tp)).epsilon(1e-9));
  }
}

// 128 heads in bf16: (2112 * 7168 + 24576 * 1536 + 32768 * 512 + 7168 * 16384) weights of 2 bytes,
// 374 MB, at 1e12 B/s; the coefficients leave nothing else.
TEST_CASE("a module reads its projections' weights", "[models][unit]") {
  for (const char* name : {"mla_module_causal_tiles", "mla_module_split_kv"}) {
    CAPTURE(name);
    const KernelForm* form = find_form(name);
    REQUIRE(form != nullptr);
    std::vector<double> c;
    for (const Parameter& parameter : form->parameters) {
      c.push_back(parameter.name == "e_projection_mem" ? 1.0 : 1e-12);
    }
    const bool context = form->name == "mla_module_causal_tiles";
    const KernelShape shape = module_shape(context, 1, 1, 1, 128);
    const double seconds =
        form->evaluate(c, shape, kernel_context(test::round_device(), shape.key)).alone().si();
    const double weights = 2112.0 * 7168 + 24576.0 * 1536 + 32768.0 * 512 + 7168.0 * 16384;
    CHECK(seconds == Approx(2 * weights / 1e12).epsilon(0.01));
  }
}

TEST_CASE("kinds that only benchmarks time fall back to the spec sheet", "[models][unit]") {
  const KernelLibrary library({MOESIM_SOURCE_DIR "/models/profiles"});
  DevicePeaks device = test::round_device();
  device.architecture = "unheard of";
  KernelShape mlp;
  mlp.key = {KernelKind::mlp, DType::bf16, DType::bf16};
  mlp.dims = {128, 1, 7168, 2048, 1, 1, 3, 128, 1, 2, 1, 128};
  for (const KernelShape& shape :
       {module_shape(true, 1, 512, 512, 16), module_shape(false, 8, 1, 512, 16), mlp}) {
    CAPTURE(family_name(shape.key));
    const BoundFamily bound = library.bind(device, shape.key, {.wish = k_spec_sheet});
    const KernelContext context = kernel_context(device, shape.key);
    const UsefulWork work = useful_work(shape);
    CHECK(bound.basis == Basis::uncalibrated);
    CHECK(bound.estimate(shape).alone().si() >
          std::max(work.flops / context.peak, work.bytes / context.bandwidth) * 0.5);
  }
}
