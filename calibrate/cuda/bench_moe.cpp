// One expert-parallel rank's expert layer: build the permutation, permute, gate and up projection,
// SwiGLU, down projection, weighted sum.
#include <cmath>
#include <optional>

#include "calibrate/cuda/device/grouped_blas.h"
#include "calibrate/cuda/families.h"
#include "calibrate/cuda/host/expert_routing.h"
#include "calibrate/cuda/kernels/activation.h"
#include "calibrate/cuda/kernels/fill.h"
#include "calibrate/cuda/kernels/grouped_gemm.h"
#include "calibrate/cuda/kernels/routing.h"
#include "sim/core/error.h"

namespace moesim::bench {
namespace {

constexpr std::uint64_t seed = 1;
constexpr int most_sets = 512;
constexpr std::int64_t most_slots = 1024;  // of kernels/routing.h
constexpr std::int64_t scale_block = 128;

bool is_eight_bit(Format format) { return value_bytes(format) < 2; }

std::int64_t blocks(std::int64_t values) { return (values + scale_block - 1) / scale_block; }

std::size_t product(std::int64_t a, std::int64_t b) { return static_cast<std::size_t>(a * b); }

// Everything that all sets of operands share. Token rows, intermediate results and outputs are as
// close to the caches as they would be in an engine; weights rotate.
class Layer {
 public:
  Layer(const Bench& bench, const MoeCase& moe);
  [[nodiscard]] int sets() const { return static_cast<int>(sets_.size()); }
  [[nodiscard]] Replay replay() const {
    // cuBLAS does not say that its grouped products may be captured.
    return is_eight_bit(moe_.format) ? Replay::graph : Replay::stream;
  }
  void run(int set) const;

 private:
  // One placement of the experts among the weights.
  struct Set {
    RotatingBuffer choices;
    RotatingBuffer tiles;
    int tile_count = 0;
    std::optional<GroupedBlas> up;
    std::optional<GroupedBlas> down;
  };
  [[nodiscard]] Set make_set(const RankRouting& routing) const;
  void multiply(const Set& set, bool down) const;
  void allocate();
  [[nodiscard]] GroupedGemm eight_bit_product(bool down) const;
  // Rows of scales are permuted in 16-byte chunks like the tokens, hence whole ones.
  [[nodiscard]] std::int64_t token_scale_columns() const {
    return (blocks(moe_.hidden) + 3) / 4 * 4;
  }

  MoeCase moe_;
  std::int64_t width_;  // of the rank's share of an expert
  cudaStream_t stream_;
  BlasHandle blas_;
  RankRouting routing_;
  std::int64_t slots_ = 0;
  RotatingBuffer tokens_, up_weights_, down_weights_, gates_;
  RotatingBuffer offsets_, cursors_, row_of_pair_, token_of_row_;
  RotatingBuffer permuted_, projected_, activated_, results_, out_;
  RotatingBuffer token_scales_, permuted_scales_, activated_scales_, up_scales_, down_scales_;
  std::vector<Set> sets_;
};

Layer::Layer(const Bench& bench, const MoeCase& moe)
    : moe_(moe),
      width_(moe.inter / moe.tp),
      stream_(bench.stream()),
      blas_(bench.stream()),
      routing_(route_to_busiest_rank(moe, seed)) {
  // Ada (89) has fp8 tensor cores, too, but loads the code of sm_80, which has no such products.
  constexpr int first_with_fp8 = 90;
  if ((moe.format == Format::fp8 || moe.format == Format::fp8_block) &&
      bench.architecture() < first_with_fp8) {
    throw Unsupported("the own fp8 products need compute capability 9.0");
  }
  const Bytes expert(3 * static_cast<double>(moe.hidden * width_) * value_bytes(moe.format));
  const auto experts = static_cast<std::int64_t>(routing_.counts.size());
  const std::int64_t copies = bench.sets_of(static_cast<double>(experts) * expert);
  slots_ = std::min(copies * experts, std::max(experts, most_slots));
  ensure(slots_ <= most_slots, "the routing kernels hold that many experts");
  const auto touched = static_cast<double>(touched_experts(routing_));
  const int sets = std::min(bench.sets_of(touched * expert), most_sets);
  allocate();
  for (int set = 0; set < sets; ++set) {
    sets_.push_back(make_set(moved_to_slots(routing_, slots_, set)));
  }
}

void Layer::allocate() {
  const auto bytes = static_cast<std::size_t>(value_bytes(moe_.format));
  const std::int64_t pairs = routing_.pairs;
  const std::size_t index = sizeof(std::int32_t);
  tokens_ = RotatingBuffer(product(moe_.tokens, moe_.hidden) * bytes, 1);
  up_weights_ = RotatingBuffer(product(slots_, 2 * width_ * moe_.hidden) * bytes, 1);
  down_weights_ = RotatingBuffer(product(slots_, width_ * moe_.hidden) * bytes, 1);
  gates_ = RotatingBuffer(product(moe_.tokens, moe_.top_k) * sizeof(float), 1);
  offsets_ = RotatingBuffer(product(slots_ + 1, 1) * index, 1);
  cursors_ = RotatingBuffer(product(slots_ + 1, 1) * index, 1);
  row_of_pair_ = RotatingBuffer(product(moe_.tokens, moe_.top_k) * index, 1);
  token_of_row_ = RotatingBuffer(product(pairs, 1) * index, 1);
  permuted_ = RotatingBuffer(product(pairs, moe_.hidden) * bytes, 1);
  projected_ = RotatingBuffer(product(pairs, 2 * width_) * 2, 1);
  activated_ = RotatingBuffer(product(pairs, width_) * bytes, 1);
  results_ = RotatingBuffer(product(pairs, moe_.hidden) * 2, 1);
  out_ = RotatingBuffer(product(moe_.tokens, moe_.hidden) * 2, 1);
  fill_random(tokens_.set(0), tokens_.bytes(), moe_.format, 1, stream_);
  fill_random(up_weights_.set(0), up_weights_.bytes(), moe_.format, 2, stream_);
  fill_random(down_weights_.set(0), down_weights_.bytes(), moe_.format, 3, stream_);
  fill_random(gates_.set(0), gates_.bytes(), Format::float32, 4, stream_);
  if (moe_.format != Format::fp8_block) {
    return;
  }
  const auto scales = [&](std::int64_t rows, std::int64_t columns, float value) {
    RotatingBuffer buffer(product(rows, columns) * sizeof(float), 1);
    fill_constant(buffer.set<float>(0), product(rows, columns), value, stream_);
    return buffer;
  };
  token_scales_ = scales(moe_.tokens, token_scale_columns(), 1);
  permuted_scales_ = scales(pairs, token_scale_columns(), 1);
  activated_scales_ = scales(pairs, blocks(width_), 1);
  up_scales_ = scales(slots_ * blocks(2 * width_), blocks(moe_.hidden), 0.03F);
  down_scales_ = scales(slots_ * blocks(moe_.hidden), blocks(width_), 0.03F);
}

Layer::Set Layer::make_set(const RankRouting& routing) const {
  Set set;
  set.choices = uploaded(std::span(routing.choices));
  if (is_eight_bit(moe_.format)) {
    const std::vector<RowTile> tiles = row_tiles(routing.counts);
    set.tile_count = static_cast<int>(tiles.size());
    set.tiles = uploaded(std::span(tiles));
    return set;
  }
  const int hidden = static_cast<int>(moe_.hidden);
  const int width = static_cast<int>(width_);
  set.up.emplace(GroupedOperands{moe_.format, 2 * width, hidden, permuted_.set(0),
                                 up_weights_.set(0), projected_.set(0)},
                 routing.counts);
  set.down.emplace(GroupedOperands{moe_.format, hidden, width, activated_.set(0),
                                   down_weights_.set(0), results_.set(0)},
                   routing.counts);
  return set;
}

GroupedGemm Layer::eight_bit_product(bool down) const {
  GroupedGemm gemm;
  gemm.format = moe_.format;
  gemm.n = static_cast<int>(down ? moe_.hidden : 2 * width_);
  gemm.k = static_cast<int>(down ? width_ : moe_.hidden);
  gemm.x = down ? activated_.set(0) : permuted_.set(0);
  gemm.w = down ? down_weights_.set(0) : up_weights_.set(0);
  gemm.out = down ? results_.set(0) : projected_.set(0);
  // Uniform operands then give results of variance 1; of 8 for whole numbers, so that the
  // activations fill their range.
  const float unit = 3 / std::sqrt(static_cast<float>(gemm.k));
  gemm.scale = moe_.format == Format::int8 ? 8 * unit / (127 * 127) : unit;
  if (moe_.format == Format::fp8_block) {
    gemm.x_scales = (down ? activated_scales_ : permuted_scales_).set<float>(0);
    gemm.x_scale_stride = static_cast<int>(down ? blocks(width_) : token_scale_columns());
    gemm.w_scales = (down ? down_scales_ : up_scales_).set<float>(0);
  }
  return gemm;
}

void Layer::multiply(const Set& set, bool down) const {
  if (is_eight_bit(moe_.format)) {
    grouped_gemm(eight_bit_product(down), set.tiles.set<RowTile>(0), set.tile_count, stream_);
  } else {
    (down ? *set.down : *set.up).run(blas_);
  }
}

void Layer::run(int index) const {
  const Set& set = sets_[static_cast<std::size_t>(index)];
  const int tokens = static_cast<int>(moe_.tokens);
  const int top_k = static_cast<int>(moe_.top_k);
  const int pairs = static_cast<int>(routing_.pairs);
  auto* row_of_pair = row_of_pair_.set<std::int32_t>(0);
  auto* token_of_row = token_of_row_.set<std::int32_t>(0);
  build_permutation(set.choices.set<std::int32_t>(0), tokens, top_k, static_cast<int>(slots_),
                    offsets_.set<std::int32_t>(0), cursors_.set<std::int32_t>(0), row_of_pair,
                    token_of_row, stream_);
  const std::size_t row_bytes =
      product(moe_.hidden, 1) * static_cast<std::size_t>(value_bytes(moe_.format));
  permute_rows(tokens_.set(0), token_of_row, pairs, row_bytes, permuted_.set(0), stream_);
  if (moe_.format == Format::fp8_block) {
    permute_rows(token_scales_.set(0), token_of_row, pairs,
                 product(token_scale_columns(), sizeof(float)), permuted_scales_.set(0), stream_);
  }
  multiply(set, false);
  swiglu(projected_.set(0), pairs, static_cast<int>(width_), moe_.format, activated_.set(0),
         activated_scales_.set<float>(0), stream_);
  multiply(set, true);
  sum_rows(results_.set(0), row_of_pair, gates_.set<float>(0), tokens, top_k,
           static_cast<int>(moe_.hidden), moe_.format == Format::float16, out_.set(0), stream_);
}

}  // namespace

void run_moe(Bench& bench) {
  bench.each(moe_grid(bench.quick()), [&](const MoeCase& moe) {
    const Layer layer(bench, moe);
    return bench.time(layer.sets(), layer.replay(), [&](int set) { layer.run(set); });
  });
}

}  // namespace moesim::bench
