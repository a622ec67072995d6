#include "calibrate/cuda/families.h"
#include "calibrate/cuda/host/transfer_grids.h"
#include "calibrate/cuda/kernels/fill.h"

namespace moesim::bench {
namespace {

// Host memory of `sets` parts, page-locked or not.
class HostBuffer {
 public:
  HostBuffer(std::size_t set_bytes, int sets, bool pinned) : set_bytes_(set_bytes) {
    const std::size_t bytes = set_bytes * static_cast<std::size_t>(sets);
    if (pinned) {
      pinned_ = make_pinned(bytes);
    } else {
      pageable_.resize(bytes);
    }
  }
  [[nodiscard]] void* set(int index) {
    auto* base = pageable_.empty() ? static_cast<std::byte*>(pinned_.get()) : pageable_.data();
    return base + set_bytes_ * static_cast<std::size_t>(index);
  }

 private:
  std::size_t set_bytes_;
  PinnedMemory pinned_;
  std::vector<std::byte> pageable_;
};

// Buffers of one direction.
class Copies {
 public:
  Copies(const Bench& bench, const CopyCase& copy, cudaStream_t stream)
      : kind_(copy.kind),
        bytes_(static_cast<std::size_t>(copy.bytes)),
        sets_(bench.sets_of(Bytes(static_cast<double>(copy.bytes)))),
        stream_(stream),
        device_(bytes_, sets_),
        other_(copy.kind == CopyKind::device_to_device ? bytes_ : 1, sets_),
        host_(copy.kind == CopyKind::device_to_device ? 1 : bytes_, sets_, copy.pinned) {
    fill_random(device_.set(0), device_.bytes(), Format::float32, 1, stream);
    if (kind_ != CopyKind::device_to_device) {
      for (int set = 0; set < sets_; ++set) {
        MOESIM_CHECK(cudaMemcpyAsync(host_.set(set), device_.set(set), bytes_,
                                     cudaMemcpyDeviceToHost, stream_));
      }
    }
    MOESIM_CHECK(cudaStreamSynchronize(stream_));
  }
  [[nodiscard]] int sets() const { return sets_; }
  void run(int set) {
    switch (kind_) {
      case CopyKind::host_to_device:
        return copy(device_.set(set), host_.set(set), cudaMemcpyHostToDevice);
      case CopyKind::device_to_host:
        return copy(host_.set(set), device_.set(set), cudaMemcpyDeviceToHost);
      case CopyKind::device_to_device:
        return copy(other_.set(set), device_.set(set), cudaMemcpyDeviceToDevice);
    }
  }
  [[nodiscard]] Load load() {
    return {stream_, sets_, [this](int set) { run(set); }};
  }

 private:
  void copy(void* to, const void* from, cudaMemcpyKind kind) const {
    MOESIM_CHECK(cudaMemcpyAsync(to, from, bytes_, kind, stream_));
  }

  CopyKind kind_;
  std::size_t bytes_;
  int sets_;
  cudaStream_t stream_;
  RotatingBuffer device_;
  RotatingBuffer other_;
  HostBuffer host_;
};

std::vector<double> measure(const Bench& bench, const CopyCase& copy) {
  Copies forth(bench, copy, bench.stream());
  if (!copy.both) {
    // Copies from pageable memory cannot be captured.
    const Replay replay = copy.pinned ? Replay::graph : Replay::stream;
    return bench.time(forth.sets(), replay, [&](int set) { forth.run(set); });
  }
  const Stream stream = make_stream();
  CopyCase reverse = copy;
  reverse.kind =
      copy.kind == CopyKind::host_to_device ? CopyKind::device_to_host : CopyKind::host_to_device;
  Copies back(bench, reverse, stream.get());
  return time_under_load(forth.load(), back.load(), bench.limits());
}

}  // namespace

void run_copies(Bench& bench) {
  bench.each(copy_grid(bench.quick()), [&](const CopyCase& copy) { return measure(bench, copy); });
}

}  // namespace moesim::bench
