// Attention to a window, on devices where attention to all keys was measured and windows were not;
// and laws of counted work.
#include <catch2/catch.hpp>

#include "kernel_test_support.h"
#include "models/kernels/kernel_library.h"
#include "models/operators/counted_ops.h"

using namespace moesim;

namespace {

DevicePeaks device_of(const char* name, const char* die, double peak, double bandwidth, int sms) {
  DevicePeaks device = test::h100();
  device.device = name;
  device.architecture = die;
  device.peak = {{DType::bf16, FlopRate(peak)}, {DType::fp8, FlopRate(2 * peak)}};
  device.memory = Bandwidth(bandwidth);
  device.multiprocessors = sms;
  return device;
}

// Attention measured on the device itself, on its die, on another generation, nowhere.
std::vector<DevicePeaks> devices() {
  return {test::h100(), device_of("h200_sxm", "gh100", 989e12, 4.8e12, 132),
          device_of("b200_sxm", "gb100", 2250e12, 8e12, 148),
          device_of("ascend", "dav", 350e12, 1.6e12, 24)};
}

struct Heads {
  std::int64_t heads, kv_heads, dim;
};

AttentionOp attention(Phase phase, const Heads& h, std::int64_t query_len, std::int64_t context,
                      std::int64_t window) {
  return {.phase = phase,
          .batch = phase == Phase::decode ? 64 : 2,
          .query_len = query_len,
          .context = context,
          .heads = h.heads,
          .kv_heads = h.kv_heads,
          .head_dim = h.dim,
          .dtype = DType::bf16,
          .kv_storage = DType::bf16,
          .causal = true,
          .window = window < context ? window : 0};
}

}  // namespace

TEST_CASE("across its window attention does not get faster", "[models][property]") {
  const auto library = std::make_shared<const KernelLibrary>(test::shipped_profiles());
  for (const DevicePeaks& device : devices()) {
    for (const char* wish : {"auto", "spec_sheet"}) {
      const auto model = make_kernel_model(device, wish, library);
      const auto seconds = [&model](const AttentionOp& op) {
        return model->estimate(op).alone().si();
      };
      for (const Heads& heads : {Heads{8, 1, 128}, Heads{64, 8, 64}, Heads{32, 4, 256}}) {
        for (const std::int64_t window : {128, 1000, 4096}) {
          CAPTURE(device.device, wish, heads.heads, window);
          double last = seconds(attention(Phase::decode, heads, 1, window, window));
          double last_prompt = seconds(attention(Phase::prefill, heads, window, window, window));
          double last_piece = seconds(attention(Phase::prefill, heads, 64, window, window));
          const double as_many = last;
          for (const std::int64_t more : {1, 2, 127, 128, 129, 1000, 5000, 20000}) {
            CAPTURE(more);
            const std::int64_t context = window + more;
            const double decode = seconds(attention(Phase::decode, heads, 1, context, window));
            CHECK(decode >= last);
            CHECK(decode == Approx(as_many).epsilon(1e-9));
            const double prompt =
                seconds(attention(Phase::prefill, heads, context, context, window));
            CHECK(prompt >= last_prompt);
            const double piece = seconds(attention(Phase::prefill, heads, 64, context, window));
            CHECK(piece >= last_piece);
            last = decode;
            last_prompt = prompt;
            last_piece = piece;
          }
          // Far beyond its window a prompt costs a fraction of what all keys cost.
          CHECK(last_prompt <
                seconds(attention(Phase::prefill, heads, window + 20000, window + 20000, 0)));
        }
      }
    }
  }
}

TEST_CASE("a window that nobody measured says so", "[models][unit]") {
  const auto model = make_kernel_model(test::h100(), "auto", test::shipped_profiles());
  const OpShape op = attention(Phase::decode, {64, 8, 128}, 1, 8192, 1024);
  const OpShape as_many = attention(Phase::decode, {64, 8, 128}, 1, 1024, 0);
  CHECK(model->family_of(op) == "attention_window_decode/bf16");
  const auto row = model->provenance("attention_window_decode/bf16");
  REQUIRE(row);
  CHECK(row->basis == Basis::transferred);
  CHECK(row->law == "attention_decode/bf16");
  CHECK(model->estimate(op).extrapolated);
  CHECK_FALSE(model->estimate(as_many).extrapolated);
  CHECK(model->estimate(op).sigma >= k_sigma_other_keys);
  CHECK(flops_of(op).si() == flops_of(as_many).si());
  CHECK(bytes_of(op).si() == bytes_of(as_many).si());
}

TEST_CASE("a law of windows goes before attention to all keys", "[models][unit]") {
  const KernelKey all{KernelKind::attention_decode, DType::bf16, DType::bf16};
  const KernelKey near{KernelKind::attention_window_decode, DType::bf16, DType::bf16};
  const DevicePeaks device = test::round_device();
  const OpShape op = attention(Phase::decode, {8, 1, 128}, 1, 8192, 1024);
  const auto both = std::make_shared<const KernelLibrary>(std::vector{test::profile_of(
      device, "trtllm",
      {test::roofline_family(all, {1e-5, 1, 1}), test::roofline_family(near, {3e-5, 1, 1})})});
  const auto model = make_kernel_model(device, "auto", both);
  CHECK(model->provenance("attention_window_decode/bf16")->basis == Basis::calibrated);
  CHECK_FALSE(model->estimate(op).extrapolated);
  CHECK(model->estimate(op).alone().si() ==
        Approx(3e-5 + bytes_of(op).si() / device.memory.si()).epsilon(1e-9));
}

TEST_CASE("counted work has laws where it was measured", "[models][unit]") {
  const KernelKey key{KernelKind::indexer_decode, DType::fp8, DType::fp8};
  FittedFamily family = test::roofline_family(key, {1e-5, 2, 1.5});
  family.form = find_form("counted");
  family.rows_used = 8;
  family.error_bands = {{1.0, 0.05}};
  const DevicePeaks device = test::round_device();
  const auto library = std::make_shared<const KernelLibrary>(
      std::vector{test::profile_of(device, "infersim", {family})});
  const OpShape op = indexer_op({Phase::decode, 64, 1, 8192}, 64, 128, 1);
  const auto model = make_kernel_model(device, "auto", library);
  CHECK(model->family_of(op) == "indexer_decode/fp8");
  CHECK(model->provenance("indexer_decode/fp8")->basis == Basis::calibrated);
  CHECK(model->estimate(op).alone().si() ==
        Approx(1e-5 + 1.5 * bytes_of(op).si() / device.memory.si()));
  CHECK(model->estimate(op).sigma == Approx(0.05));
  // Few rows on one device say little about another product of its die.
  DevicePeaks other = device;
  other.device = "oval";
  other.memory = Bandwidth(2e12);
  CHECK(make_kernel_model(other, "auto", library)->estimate(op).sigma > k_sigma_few_rows);
}

TEST_CASE("slots that stay empty cost time and are no useful work", "[models][unit]") {
  const RooflineOp few = sparse_latent_op({Phase::decode, 64, 1, 1024}, {128, 512, 64, 2048},
                                          DType::bf16, DType::fp8, DType::bf16);
  const RooflineOp full = sparse_latent_op({Phase::decode, 64, 1, 4096}, {128, 512, 64, 2048},
                                           DType::bf16, DType::fp8, DType::bf16);
  CHECK(full.flops.si() == 2 * few.flops.si());
  CHECK(full.computed.si() == few.computed.si());
  CHECK(full.computed.si() == full.flops.si());
}

TEST_CASE("where a device has no fp8, scores are computed in bf16", "[models][unit]") {
  DevicePeaks device = device_of("a100_sxm", "ga100", 312e12, 2.0e12, 108);
  device.peak.erase(DType::fp8);
  const auto model = make_kernel_model(device, "auto", test::shipped_profiles());
  const OpShape op = indexer_op({Phase::decode, 64, 1, 8192}, 64, 128, 1);
  CHECK(model->family_of(op) == "indexer_decode/bf16-fp8");
  CHECK(model->estimate(op).alone().si() > 0);
}
