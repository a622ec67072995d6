// NCCL communicators of the first devices of this node, in one process.
#pragma once

#include <nccl.h>

#include <cstddef>
#include <vector>

#include "calibrate/cuda/device/resources.h"
#include "calibrate/cuda/host/transfer_grids.h"

namespace moesim::bench {

// Makes a device the current one, and the previous one again at the end.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int previous_ = 0;
};

class Communicators {
 public:
  explicit Communicators(int devices);
  ~Communicators();
  Communicators(const Communicators&) = delete;
  Communicators& operator=(const Communicators&) = delete;

  [[nodiscard]] int devices() const { return static_cast<int>(comms_.size()); }
  [[nodiscard]] cudaStream_t stream(int device) const {
    return streams_[static_cast<std::size_t>(device)].get();
  }
  // Enqueues the operation on the streams of all devices. Buffers hold `elements` values each, by
  // device.
  void run(const CollectiveCase& collective, const std::vector<void*>& send,
           const std::vector<void*>& receive) const;

 private:
  void run_on(int device, const CollectiveCase& collective, void* send, void* receive) const;

  std::vector<ncclComm_t> comms_;
  std::vector<Stream> streams_;
};

// Random send buffers and receive buffers of every device, in sets.
class CollectiveBuffers {
 public:
  CollectiveBuffers(const CollectiveCase& collective, int sets);
  [[nodiscard]] std::vector<void*> send(int set) const { return of(send_, set); }
  [[nodiscard]] std::vector<void*> receive(int set) const { return of(receive_, set); }

 private:
  static std::vector<void*> of(const std::vector<RotatingBuffer>& buffers, int set);
  std::vector<RotatingBuffer> send_;
  std::vector<RotatingBuffer> receive_;
};

}  // namespace moesim::bench
