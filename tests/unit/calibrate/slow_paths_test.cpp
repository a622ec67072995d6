#include "calibrate/fit/slow_paths.h"

#include <catch2/catch.hpp>

using namespace moesim;

namespace {

// Products of m rows, m = 1 to count, that take seconds(m).
template <class Seconds>
KernelRows table(const char* framework, const char* source, int count, Seconds seconds,
                 KernelKind kind = KernelKind::gemm) {
  KernelRows rows;
  rows.file.system = "h100_sxm";
  rows.file.framework = framework;
  rows.file.version = "1";
  rows.sources = {source};
  for (int m = 1; m <= count; ++m) {
    KernelRow row;
    row.shape.key = {kind, DType::bf16, DType::bf16};
    row.shape.dims = {static_cast<double>(m), 64, 64, 1};
    row.seconds = seconds(m);
    rows.rows.push_back(row);
  }
  return rows;
}

}  // namespace

TEST_CASE("a kernel that is slow in nine of ten cases is a slow path", "[calibrate][unit]") {
  const auto fast = table("one", "a", 200, [](int m) { return 1e-6 * m; });
  const auto slow = [](int exceptions) {
    return table("one", "b", 200, [=](int m) { return (m <= exceptions ? 1.4e-6 : 1.6e-6) * m; });
  };
  const std::set<MeasuredKernel> found = slow_paths({fast, slow(19)});
  REQUIRE(found.size() == 1);
  CHECK(*found.begin() == MeasuredKernel("h100_sxm", "one", "1", "gemm/bf16", "b"));
  CHECK(slow_paths({fast, slow(21)}).empty());
  // Too few cases in common, or nothing to compare with.
  CHECK(slow_paths({table("one", "a", 99, [](int m) { return 1e-6 * m; }), slow(0)}).empty());
  CHECK(slow_paths({slow(0)}).empty());
  // Of another device or of other formats.
  KernelRows elsewhere = fast;
  elsewhere.file.system = "a100_sxm";
  CHECK(slow_paths({elsewhere, slow(0)}).empty());
}

TEST_CASE("experts of a framework that lose most cases to another are a slow path",
          "[calibrate][unit]") {
  const auto tables = [](int lost, int count, KernelKind kind) {
    return std::vector<KernelRows>{
        table(
            "one", "a", 200, [](int m) { return 1e-6 * m; }, kind),
        table("two", "b", count, [=](int m) { return (m <= lost ? 1.06e-6 : 0.9e-6) * m; }, kind)};
  };
  const MeasuredKernel first("h100_sxm", "one", "1", "moe/bf16", "a");
  const MeasuredKernel second("h100_sxm", "two", "1", "moe/bf16", "b");
  using Found = std::set<MeasuredKernel>;
  CHECK(slow_paths(tables(101, 200, KernelKind::moe)) == Found{second});
  CHECK(slow_paths(tables(99, 200, KernelKind::moe)) == Found{first});
  CHECK(slow_paths(tables(100, 200, KernelKind::moe)).empty());
  CHECK(slow_paths(tables(99, 99, KernelKind::moe)).empty());
  // Products hold different passes in different frameworks.
  CHECK(slow_paths(tables(200, 200, KernelKind::gemm)).empty());
}

TEST_CASE("the kernel that is the fastest most often has won", "[calibrate][unit]") {
  KernelRows both = table("one", "a", 100, [](int m) { return 1e-6 * m; });
  const KernelRows other = table("one", "b", 100, [](int m) { return m <= 40 ? 5e-7 : 1e-3; });
  both.sources.emplace_back("b");
  for (KernelRow row : other.rows) {
    row.source = 1;
    both.rows.push_back(row);
  }
  const auto won = won_cases({both});
  CHECK(won.at({"h100_sxm", "one", "1", "gemm/bf16", "a"}) == 20);
  CHECK(won.at({"h100_sxm", "one", "1", "gemm/bf16", "b"}) == -20);
  CHECK(won_cases({other}).empty());  // alone
}
