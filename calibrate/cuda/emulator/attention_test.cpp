#include <catch2/catch.hpp>
#include <utility>

#include "calibrate/cuda/emulator/copy_time.h"
#include "calibrate/cuda/emulator/test_values.h"
#include "calibrate/cuda/host/session.h"
#include "calibrate/cuda/kernels/attention.h"

using namespace moesim;
using namespace moesim::bench;
using emulation::CopyTime;
using moesim::test::Bf16;
using moesim::test::Fp8;

namespace {

// Weights and results are rounded to bf16 (8 bits) around values below 1.
constexpr double tolerance = 0.012;

std::size_t product(int a, int b, int c, int d = 1) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c) *
         static_cast<std::size_t>(d);
}

double prefill_error(const PrefillShape& s, std::uint64_t seed) {
  Rng rng(seed);
  const auto q = test::random_values<Bf16>(product(s.batch, s.length, s.heads, s.qk_dim), rng, 2);
  const auto k =
      test::random_values<Bf16>(product(s.batch, s.length, s.kv_heads, s.qk_dim), rng, 2);
  const auto v = test::random_values<Bf16>(product(s.batch, s.length, s.kv_heads, s.v_dim), rng);
  std::vector<Bf16> out(product(s.batch, s.length, s.heads, s.v_dim), NAN);
  prefill_attention(s, q.data(), k.data(), v.data(), out.data(), nullptr);
  return test::largest_error(
      out, test::attention_reference<Bf16>({s.batch, s.length, s.length, s.heads, s.kv_heads,
                                            s.qk_dim, s.v_dim, static_cast<double>(s.qk_dim)},
                                           q, k, v, s.v_dim));
}

template <class T>
double decode_error(const DecodeShape& s, std::uint64_t seed) {
  Rng rng(seed);
  const bool latent = s.qk_dim != s.v_dim;
  const auto q = test::random_values<Bf16>(product(s.batch, s.heads, s.qk_dim), rng, 2);
  const auto k = test::random_values<T>(product(s.batch, s.length, s.kv_heads, s.qk_dim), rng);
  const auto v = test::random_values<T>(product(s.batch, s.length, s.kv_heads, s.v_dim), rng);
  std::vector<float> scratch(decode_scratch(s), NAN);
  std::vector<Bf16> out(product(s.batch, s.heads, s.v_dim), NAN);
  decode_attention(s, q.data(), k.data(), latent ? nullptr : v.data(), scratch.data(), out.data(),
                   nullptr);
  return test::largest_error(
      out, test::attention_reference<T>({s.batch, 1, s.length, s.heads, s.kv_heads, s.qk_dim,
                                         s.v_dim, latent ? 192.0 : s.qk_dim},
                                        q, k, latent ? k : v, latent ? s.qk_dim : s.v_dim));
}

}  // namespace

TEST_CASE("prefill kernels compute causal attention", "[calibrate][crosscheck]") {
  emulation::set_copy_time(GENERATE(CopyTime::latest, CopyTime::earliest));
  for (const int length : {1, 17, 64, 65, 150}) {
    CAPTURE(length);
    CHECK(prefill_error({2, length, 4, 2, 64, 64}, 1) < tolerance);
    CHECK(prefill_error({1, length, 2, 1, 128, 128}, 2) < tolerance);
    CHECK(prefill_error({1, length, 2, 2, 192, 128}, 3) < tolerance);
  }
}

// Splits in excess of the tiles leave empty parts.
TEST_CASE("decode kernels compute attention to the cache", "[calibrate][crosscheck]") {
  emulation::set_copy_time(GENERATE(CopyTime::latest, CopyTime::earliest));
  for (const int length : {2, 63, 64, 200}) {
    for (const int splits : {1, 3}) {
      CAPTURE(length, splits);
      CHECK(decode_error<Bf16>({2, length, 4, 2, 64, 64, false, splits}, 1) < tolerance);
      CHECK(decode_error<Bf16>({1, length, 24, 1, 128, 128, false, splits}, 2) < tolerance);
      CHECK(decode_error<Fp8>({1, length, 8, 2, 128, 128, true, splits}, 3) < tolerance);
    }
  }
}

TEST_CASE("latent decode kernels read values from the keys", "[calibrate][crosscheck]") {
  emulation::set_copy_time(GENERATE(CopyTime::latest, CopyTime::earliest));
  for (const int length : {2, 33, 90}) {
    CAPTURE(length);
    CHECK(decode_error<Bf16>({2, length, 16, 1, 576, 512, false, 2}, 1) < tolerance);
    CHECK(decode_error<Fp8>({1, length, 80, 1, 576, 512, true, 1}, 2) < tolerance);
  }
}

TEST_CASE("kernels that a device has no shared memory for are left out", "[calibrate][unit]") {
  emulation::set_copy_time(CopyTime::latest);
  int& most = emulation::shared_memory_per_block();
  const int before = std::exchange(most, 99 * 1024);
  CHECK_THROWS_AS(decode_error<Bf16>({1, 33, 16, 1, 576, 512, false, 1}, 1), Unsupported);
  CHECK_NOTHROW(decode_error<Bf16>({1, 33, 4, 2, 64, 64, false, 1}, 1));
  most = 32 * 1024;
  CHECK_THROWS_AS(prefill_error({1, 33, 2, 2, 192, 128}, 1), Unsupported);
  most = before;
}

TEST_CASE("caches are split until the device is full", "[calibrate][unit]") {
  CHECK(decode_splits({1, 100000, 8, 8, 128, 128}, 132) == 33);    // 8 blocks of 264
  CHECK(decode_splits({1, 300, 8, 8, 128, 128}, 132) == 3);        // of 128 tokens each
  CHECK(decode_splits({64, 4096, 8, 8, 128, 128}, 132) == 1);      // 512 blocks already
  CHECK(decode_splits({1, 100000, 128, 1, 576, 512}, 132) == 64);  // 2 blocks of 64 heads
}
