// Products, copies and all-reduces, each alone and while another of them keeps the device busy.
#include <memory>
#include <optional>

#include "calibrate/cuda/device/communicators.h"
#include "calibrate/cuda/device/lt_matmul.h"
#include "calibrate/cuda/families.h"
#include "calibrate/cuda/host/small_grids.h"
#include "calibrate/cuda/kernels/fill.h"

namespace moesim::bench {
namespace {

// Work that can be launched again and again on a stream of its own.
class Runnable {
 public:
  Runnable() = default;
  Runnable(const Runnable&) = delete;
  Runnable& operator=(const Runnable&) = delete;
  virtual ~Runnable() = default;
  virtual Load load() = 0;
};

class Product : public Runnable {
 public:
  Product(const Bench& bench, const GemmCase& gemm)
      : stream_(make_stream()),
        sets_(bench.sets_of(operand_bytes(gemm))),
        matmul_(gemm, stream_.get()),
        x_(values(gemm.m * gemm.k, gemm), sets_),
        w_(values(gemm.n * gemm.k, gemm), sets_),
        out_(values(gemm.m * gemm.n, gemm), sets_) {
    fill_random(x_.set(0), x_.bytes(), gemm.format, 1, stream_.get());
    fill_random(w_.set(0), w_.bytes(), gemm.format, 2, stream_.get());
  }
  Load load() override {
    return {stream_.get(), sets_, [this](int set) {
              matmul_.run(x_.set(set), w_.set(set), out_.set(set), stream_.get());
            }};
  }

 private:
  static std::size_t values(std::int64_t count, const GemmCase& gemm) {
    return static_cast<std::size_t>(count) * static_cast<std::size_t>(value_bytes(gemm.format));
  }
  Stream stream_;
  int sets_;
  LtMatmul matmul_;
  RotatingBuffer x_;
  RotatingBuffer w_;
  RotatingBuffer out_;
};

class Copy : public Runnable {
 public:
  Copy(const Bench& bench, Work kind, std::int64_t bytes)
      : kind_(kind),
        bytes_(static_cast<std::size_t>(bytes)),
        sets_(bench.sets_of(Bytes(static_cast<double>(bytes)))),
        stream_(make_stream()),
        device_(bytes_, sets_),
        target_(kind == Work::copy_within ? bytes_ : 1, sets_),
        host_(make_pinned(kind == Work::copy_within ? 1 : bytes_)) {
    fill_random(device_.set(0), device_.bytes(), Format::float32, 1, stream_.get());
  }
  Load load() override {
    return {stream_.get(), sets_, [this](int set) {
              if (kind_ == Work::copy_in) {
                copy(device_.set(set), host_.get(), cudaMemcpyHostToDevice);
              } else if (kind_ == Work::copy_out) {
                copy(host_.get(), device_.set(set), cudaMemcpyDeviceToHost);
              } else {
                copy(target_.set(set), device_.set(set), cudaMemcpyDeviceToDevice);
              }
            }};
  }

 private:
  void copy(void* to, const void* from, cudaMemcpyKind kind) const {
    MOESIM_CHECK(cudaMemcpyAsync(to, from, bytes_, kind, stream_.get()));
  }
  Work kind_;
  std::size_t bytes_;
  int sets_;
  Stream stream_;
  RotatingBuffer device_;
  RotatingBuffer target_;
  PinnedMemory host_;
};

// Over all devices of the node; the first one's share is timed or disturbed.
class AllReduce : public Runnable {
 public:
  AllReduce(const Bench& bench, const Communicators& comms, std::int64_t bytes)
      : comms_(comms),
        collective_{Collective::all_reduce, false, comms.devices(), bytes / 2},
        sets_(bench.sets_of(Bytes(2 * static_cast<double>(bytes)))),
        buffers_(collective_, sets_) {}
  Load load() override {
    return {comms_.stream(0), sets_, [this](int set) {
              comms_.run(collective_, buffers_.send(set), buffers_.receive(set));
            }};
  }

 private:
  const Communicators& comms_;
  CollectiveCase collective_;
  int sets_;
  CollectiveBuffers buffers_;
};

class Workshop {
 public:
  explicit Workshop(const Bench& bench) : bench_(bench) {}

  std::vector<double> measure(const SharingCase& c) {
    const std::unique_ptr<Runnable> timed = make(c.timed, c);
    const Load load = timed->load();
    MOESIM_CHECK(cudaDeviceSynchronize());
    if (c.other == Work::none) {
      return time_launches(load.stream, bench_.limits(), load.sets, Replay::stream, load.launch);
    }
    const std::unique_ptr<Runnable> other = make(c.other, c);
    MOESIM_CHECK(cudaDeviceSynchronize());
    return time_under_load(load, other->load(), bench_.limits());
  }

 private:
  std::unique_ptr<Runnable> make(Work work, const SharingCase& c) {
    if (work == Work::gemm) {
      return std::make_unique<Product>(bench_, c.gemm);
    }
    if (work == Work::all_reduce) {
      if (!comms_) {
        comms_.emplace(bench_.devices());
      }
      return std::make_unique<AllReduce>(bench_, *comms_, c.bytes);
    }
    return std::make_unique<Copy>(bench_, work, c.bytes);
  }

  const Bench& bench_;
  std::optional<Communicators> comms_;
};

}  // namespace

void run_sharing(Bench& bench) {
  Workshop workshop(bench);
  bench.each(sharing_grid(bench.quick()),
             [&](const SharingCase& c) { return workshop.measure(c); });
}

}  // namespace moesim::bench
