#include "models/operators/op.h"

#include <catch2/catch.hpp>

#include "models/operators/operators.h"

using namespace moesim;

TEST_CASE("a GEMM multiplies once and moves each operand once", "[models][unit]") {
  GemmOp op{.m = 4, .n = 6, .k = 10};
  CHECK(flops_of(op).si() == 2 * 4 * 6 * 10);
  CHECK(bytes_of(op).si() == 2 * (4 * 10 + 10 * 6 + 4 * 6));  // bf16
  op.weight_storage = DType::int4;
  CHECK(bytes_of(op).si() == 2 * (4 * 10 + 4 * 6) + 10 * 6 / 2);
  op.weight_bits = 1.6;
  CHECK(bytes_of(op).si() == Approx(2 * (4 * 10 + 4 * 6) + 10 * 6 * 0.2));
  op.batch = 3;
  CHECK(flops_of(op).si() == 3 * 2 * 4 * 6 * 10);
  CHECK(bytes_of(op).si() == Approx(3 * (2 * (4 * 10 + 4 * 6) + 10 * 6 * 0.2)));
}

TEST_CASE("block-scaled GEMMs carry scales: 4 B per 128 of a row, per 128 x 128 weights",
          "[models][unit]") {
  const GemmOp op{
      .m = 128, .n = 256, .k = 512, .dtype = DType::fp8_block, .weight_storage = DType::fp8_block};
  const double rows = 128 * 512 + 128 * 512 / 128 * 4;
  const double weights = 256 * 512 + 2 * 4 * 4;  // 2 x 4 blocks
  CHECK(bytes_of(op).si() == rows + weights + 128 * 256 * 2);
}

TEST_CASE("causal attention counts the visible half", "[models][unit]") {
  // 3 queries at the end of 5 keys see 3, 4 and 5 of them: 12 pairs. 2 sequences, 4 heads of 16.
  AttentionOp op{.phase = Phase::prefill,
                 .batch = 2,
                 .query_len = 3,
                 .context = 5,
                 .heads = 4,
                 .kv_heads = 2,
                 .head_dim = 16};
  CHECK(flops_of(op).si() == 4 * 2 * 4 * 16 * 12);
  // q and o: 2 x 3 x 4 x 16 each; k and v: 2 x 5 x 2 x 16 each; 2 bytes.
  CHECK(bytes_of(op).si() == 2 * (2 * 2 * 3 * 4 * 16 + 2 * 2 * 5 * 2 * 16));
  op.kv_storage = DType::fp8;
  CHECK(bytes_of(op).si() == 2 * 2 * 2 * 3 * 4 * 16 + 2 * 2 * 5 * 2 * 16);
  op.causal = false;
  CHECK(flops_of(op).si() == 4 * 2 * 4 * 16 * 15);
}

TEST_CASE("absorbed MLA attends on the latent, expanded MLA on heads", "[models][unit]") {
  MlaOp op{.phase = Phase::decode, .batch = 2, .query_len = 1, .context = 100, .heads = 16};
  // 200 visible pairs per head; keys 512 + 64, values 512.
  CHECK(flops_of(op).si() == 2 * 200 * 16 * (576 + 512));
  CHECK(bytes_of(op).si() == 2 * (2 * 16 * (576 + 512) + 200 * 576));
  op.phase = Phase::prefill;
  op.query_len = 100;
  // 100 * 101 / 2 pairs per sequence and head; keys 128 + 64, values 128.
  CHECK(flops_of(op).si() == 2 * 2 * 5050 * 16 * (192 + 128));
  // Keys and values as the expansion wrote them: of every head, the rotary part repeated.
  CHECK(bytes_of(op).si() == 2 * (200 * 16 * (192 + 128) + 200 * 16 * (192 + 128)));
}

TEST_CASE("experts move the weights of touched experts only", "[models][unit]") {
  MoeOp op{
      .entering_tokens = 10,
      .top_k = 2,
      .hidden = 32,
      .inter = 8,
      .local_experts = 4,
      .total_experts = 8,
      .load = {.pairs = 12, .touched_experts = 3, .tiles_64 = 3, .tiles_128 = 3, .busiest = 7}};
  CHECK(flops_of(op).si() == 2 * 12 * 3 * 32 * 8);
  // 12 pairs of tokens with at most 2 each, 7 of them on one expert: at least 7 different tokens.
  CHECK(bytes_of(op).si() == 2 * (3 * 3 * 32 * 8 + 7 * 32 * 2));
  op.matrices = 2;
  CHECK(flops_of(op).si() == 2 * 12 * 2 * 32 * 8);
  op.load = {};
  CHECK(flops_of(op).si() == 0);
  CHECK(bytes_of(op).si() == 0);
}

TEST_CASE("memory kernels compute nothing", "[models][unit]") {
  const MemoryOp op{Bytes(3), Bytes(4)};
  CHECK(flops_of(op).si() == 0);
  CHECK(bytes_of(op).si() == 7);
}

// 1,000 pairs of 400 tokens, hidden 7168, width 2048; fp8 rows have 4 bytes of scale per 128
// values.
TEST_CASE("passes around the experts' products move rows and activate them", "[models][unit]") {
  MoeOp op;
  op.entering_tokens = 400;
  op.hidden = 7168;
  op.inter = 2048;
  op.load.pairs = 1000;
  op.dtype = DType::fp8_block;
  op.layout = ExpertLayout::contiguous;
  const double fp8 = 1 + 4.0 / 128;
  const auto passes = expert_passes(op, DType::bf16);
  REQUIRE(passes.size() == 3);
  const auto bytes = [&](std::size_t i) { return std::get<MemoryOp>(passes.at(i).shape); };
  CHECK(bytes(0).read.si() == Approx(400 * 7168 * fp8));
  CHECK(bytes(0).written.si() == Approx(1000 * 7168 * fp8));
  CHECK(bytes(1).read.si() == 1000 * 2 * 2048 * 2);
  CHECK(bytes(1).written.si() == Approx(1000 * 2048 * fp8));
  CHECK(bytes(2).read.si() == 1000 * 7168 * 2);
  CHECK(bytes(2).written.si() == 400 * 7168 * 2);
  op.layout = ExpertLayout::masked;
  REQUIRE(expert_passes(op, DType::bf16).size() == 1);
  op.load.pairs = 0;
  CHECK(expert_passes(op, DType::bf16).empty());
}
