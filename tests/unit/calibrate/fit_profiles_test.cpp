#include "calibrate/fit/fit_profiles.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "kernel_data.h"
#include "sim/core/error.h"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

std::string decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

// GEMM times of the shipped form with these coefficients, with relative noise.
std::string planted_gemm(const std::vector<double>& c, double noise) {
  std::string text =
      "# source: planted, made for a test\nkernel_source,gemm_dtype,m,n,k,latency_ms\n";
  Rng rng(9);
  const auto device = test::measured_device("h100_sxm");
  for (const double n : {512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0}) {
    for (const double k : {256.0, 1024.0, 4096.0, 16384.0}) {
      for (double m = 1; m <= 32768; m *= 2) {
        KernelShape shape;
        shape.key = {KernelKind::gemm, DType::bf16, DType::bf16};
        shape.dims = {m, n, k, 1};
        const KernelContext context = kernel_context(*device, shape.key);
        const double seconds = form_of(KernelKind::gemm).evaluate(c, shape, context).alone().si();
        text += "planted,bfloat16," + decimal(m) + "," + decimal(n) + "," + decimal(k) + "," +
                decimal(1e3 * seconds * std::exp(noise * rng.normal())) + "\n";
      }
    }
  }
  return text;
}

const std::vector<double> truth{4e-6, 0, 1.4, 1.6, 0.15, 1.5e-6, 0.5, 0.5, 8, 1.0, 2e-6, 0.3};

KernelFitOptions options() {
  KernelFitOptions result;
  result.date = "2026-01";
  return result;
}

}  // namespace

TEST_CASE("fitting synthetic measurements finds the planted kernel", "[calibrate][unit]") {
  const test::MeasurementFolder folder("planted");
  folder.write("h100_sxm/gemm__trtllm-9.csv", planted_gemm(truth, 0.03));
  const auto profiles = fit_profiles(folder.path(), test::measured_device, options());
  REQUIRE(profiles.size() == 2);
  CHECK(profile_file_name(profiles[0]) == "h100_sxm.trtllm-9.json");
  CHECK(profile_file_name(profiles[1]) == "spec_sheet.json");
  REQUIRE(profiles[0].families.size() == 1);
  const FittedFamily& family = profiles[0].families[0];
  CHECK(family.name() == "gemm/bf16");
  CHECK(family.preferred);
  CHECK(family.source == "planted, made for a test");
  CHECK(family.rows_used == 6 * 4 * 16);
  CHECK(family.range.at(0).max == 32768);
  CHECK(family.range.at(1).min == 512);
  // Overhead, memory and arithmetic each decide many rows, so they are determined well.
  CHECK(family.coefficients[0] == Approx(truth[0]).epsilon(0.05));
  CHECK(family.coefficients[2] == Approx(truth[2]).epsilon(0.05));
  CHECK(family.coefficients[3] == Approx(truth[3]).epsilon(0.05));
  // 3 % normal noise has a median of 0.0202 and a 90th percentile of 0.0493.
  CHECK(family.in_sample.median == Approx(0.0202).epsilon(0.25));
  CHECK(family.left_out.median < 0.03);
  CHECK(family.left_out.p90 < 0.07);
}

TEST_CASE("what the form cannot follow is corrected", "[calibrate][unit]") {
  const test::MeasurementFolder folder("stepped");
  std::string text = planted_gemm(truth, 0.0);
  // A code path that takes half as long again for 64 to 512 rows is in no formula.
  std::string stepped;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    double rows = 0;
    const bool slow =
        std::sscanf(line.c_str(), "planted,bfloat16,%lf", &rows) == 1 && rows >= 64 && rows <= 512;
    const auto comma = line.rfind(',');
    stepped +=
        slow ? line.substr(0, comma + 1) + decimal(1.5 * std::stod(line.substr(comma + 1))) : line;
    stepped += '\n';
  }
  folder.write("h100_sxm/gemm__trtllm-9.csv", stepped);
  const auto corrected = fit_profiles(folder.path(), test::measured_device, options());
  KernelFitOptions plain = options();
  plain.correct = false;
  const auto form = fit_profiles(folder.path(), test::measured_device, plain);
  REQUIRE(corrected[0].families[0].correction != nullptr);
  CHECK(form[0].families[0].correction == nullptr);
  CHECK(corrected[0].families[0].in_sample.p90 < 0.5 * form[0].families[0].in_sample.p90);
  CHECK(corrected[0].families[0].left_out.median < 0.7 * form[0].families[0].left_out.median);
  CHECK(corrected[0].families[0].left_out.p90 < form[0].families[0].left_out.p90);
  CHECK(corrected[0].families[0].left_out_form.p90 == form[0].families[0].left_out.p90);
}

// TensorRT-LLM's expanded prefill at half the peak, SGLang's absorbed one at a tenth of it.
TEST_CASE("the spec sheet does not learn from what steps do not lower", "[calibrate][unit]") {
  const auto table = [](const char* source, double factor) {
    std::string text =
        "# source: made for a test\nkernel_source,mla_dtype,kv_cache_dtype,num_heads,batch_size,"
        "isl,tp_size,step,latency_ms\n";
    for (const double heads : {16.0, 32.0, 64.0, 128.0}) {
      for (double length = 2048; length <= 32768; length *= 2) {
        KernelShape shape;
        shape.key = {KernelKind::mla_context, DType::bf16, DType::bf16};
        shape.dims = {1, length, length, heads, 512, 64, 128, 128};
        const KernelContext context = kernel_context(*test::measured_device("h100_sxm"), shape.key);
        text += std::string(source) + ",bfloat16,bfloat16," + decimal(heads) + ",1," +
                decimal(length) + ",1,0," +
                decimal(1e3 * factor * useful_work(shape).flops / context.peak) + "\n";
      }
    }
    return text;
  };
  const test::MeasurementFolder folder("absorbed");
  folder.write("h100_sxm/context_mla__trtllm-9.csv", table("default", 2));
  folder.write("h100_sxm/context_mla__sglang-9.csv", table("flash_attention", 10));
  const auto profiles = fit_profiles(folder.path(), test::measured_device, options());
  REQUIRE(profiles.size() == 3);
  CHECK(profiles[0].families.at(0).name() == "mla_context/bf16/absorbed");
  CHECK(profiles[1].families.at(0).name() == "mla_context/bf16");
  const FittedFamily& sheet = profiles[2].families.at(0);
  CHECK(sheet.rows_used == 20);
  CHECK(sheet.coefficients.at(1) == Approx(2).epsilon(0.1));
}

TEST_CASE("the same folder gives the same profile bytes", "[calibrate][unit]") {
  const test::MeasurementFolder folder("same");
  folder.write("h100_sxm/gemm__trtllm-9.csv", planted_gemm(truth, 0.05));
  const auto first = fit_profiles(folder.path(), test::measured_device, options());
  KernelFitOptions two_threads = options();
  two_threads.threads = 2;
  const auto second = fit_profiles(folder.path(), test::measured_device, two_threads);
  REQUIRE(first.size() == second.size());
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK(kernel_profile_text(first[i]) == kernel_profile_text(second[i]));
  }
}

TEST_CASE("rows that beat the device are not fitted", "[calibrate][unit]") {
  const test::MeasurementFolder folder("physics");
  std::string text = planted_gemm(truth, 0.0);
  text += "planted,bfloat16,32768,32768,32768,1.0\n";  // 70 TFLOP in 1 ms: 71 times the peak
  folder.write("h100_sxm/gemm__trtllm-9.csv", text);
  const auto profiles = fit_profiles(folder.path(), test::measured_device, options());
  CHECK(profiles[0].families[0].rows_used == 6 * 4 * 16);
  CHECK(profiles[0].families[0].rows_skipped == 1);
  CHECK(profiles[0].families[0].range.at(1).max == 16384);
}

TEST_CASE("a damaged table stops the fit and names the place", "[calibrate][unit]") {
  const test::MeasurementFolder folder("damaged");
  const auto check = [&folder](const std::string& body, const std::string& expected) {
    folder.write("h100_sxm/gemm__trtllm-9.csv", body);
    CHECK_THROWS_AS(fit_profiles(folder.path(), test::measured_device, options()), ConfigError);
    CHECK_THROWS_WITH(fit_profiles(folder.path(), test::measured_device, options()),
                      Contains("gemm__trtllm-9.csv") && Contains(expected));
  };
  const std::string header = "kernel_source,gemm_dtype,m,n,k,latency_ms\n";
  check("kernel_source,gemm_dtype,m,n,latency_ms\nx,bfloat16,1,2,3\n", "no column \"k\"");
  check(header + "x,bfloat16,1,64,64,0.1\nx,bfloat16,1,64,64,-0.1\n", ":3:latency_ms");
  check(header + "x,bfloat16,1,64,64,nan\n", ":2:latency_ms");
  check(header + "x,bfloat16,0,64,64,0.1\n", ":2:m");
  check(header + "x,bfloat16,1,64,64\n", ":2:5");
}

TEST_CASE("files of one program are one fit, too few rows are none", "[calibrate][unit]") {
  const test::MeasurementFolder folder("several");
  const std::string header =
      "# source: made, commit 0123456789ab\ndtype,kv_dtype,batch_size,kv_len,"
      "latency_us,mfu\n";
  for (const char* widths : {"32-8-128", "64-8-128"}) {
    std::string text = header;
    for (int batch = 1; batch <= 8; ++batch) {
      for (const double keys : {1024.0, 4096.0}) {
        text += "bf16,bf16," + std::to_string(batch) + "," + decimal(keys) + "," +
                decimal(5 + 1e-3 * batch * keys) + ",0.1\n";
      }
    }
    folder.write(std::string("mha__decode__h20__") + widths + ".csv", text);
  }
  folder.write("mha__decode__h20__16-1-256.csv", header + "bf16,bf16,1,1024,9,0.1\n");
  folder.write(
      "mla__prefill__h20__128-128-64.csv",
      "# source: made, commit 0123456789ab\ndtype,seq_len,latency_us,mfu\nbf16,1024,500,0.5\n");
  const auto profiles = fit_profiles(folder.path(), test::measured_device, options());
  REQUIRE(profiles.size() == 2);
  CHECK(profile_file_name(profiles[0]) == "h20.infersim-0123456.json");
  REQUIRE(profiles[0].families.size() == 1);
  CHECK(profiles[0].families[0].name() == "attention_decode/bf16");
  CHECK(profiles[0].families[0].rows_used == 33);
  CHECK(profiles[0].families[0].source == "made, commit 0123456789ab; and 2 more files");
}

TEST_CASE("a folder without measurements is refused", "[calibrate][unit]") {
  const test::MeasurementFolder folder("empty");
  CHECK_THROWS_AS(fit_profiles(folder.path(), test::measured_device, options()), ConfigError);
  CHECK_THROWS_AS(fit_profiles(folder.path() + "/none", test::measured_device, options()),
                  ConfigError);
}

TEST_CASE("windowed rows make a law of their own", "[calibrate][unit]") {
  const test::MeasurementFolder folder("windows");
  std::string text =
      "# source: planted, made for a test\nkernel_source,batch_size,isl,num_heads,"
      "num_key_value_heads,head_dim,window_size,attn_dtype,kv_cache_dtype,step,latency_ms\n";
  for (const int heads : {8, 16, 32, 64}) {
    for (const int batch : {1, 8, 64}) {
      for (const int window : {128, 1024}) {
        for (const int context : {2048, 16384}) {
          text += "flow," + std::to_string(batch) + ",1," + std::to_string(heads) + ",8,128," +
                  std::to_string(window) + ",bfloat16,bfloat16," + std::to_string(context - 1) +
                  "," + decimal(1e3 * (5e-6 + 1.2 * batch * window * 8 * 512 / 3.35e12)) + "\n";
        }
      }
    }
  }
  folder.write("h100_sxm/generation_attention__trtllm-9.csv", text);
  const auto profiles = fit_profiles(folder.path(), test::measured_device, options());
  REQUIRE(profiles.size() == 1);  // windows say nothing about the spec sheet
  REQUIRE(profiles[0].families.size() == 1);
  const FittedFamily& family = profiles[0].families[0];
  CHECK(family.name() == "attention_window_decode/bf16");
  REQUIRE(family.range.size() == 7);
  CHECK(family.range[dim::window].min == 128);
  CHECK(family.range[dim::window].max == 1024);
  CHECK(family.left_out.median < 0.1);
}
