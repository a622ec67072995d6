#include "calibrate/cuda/device/communicators.h"

#include "calibrate/cuda/device/check_libraries.h"
#include "calibrate/cuda/kernels/fill.h"

namespace moesim::bench {

CurrentDevice::CurrentDevice(int device) {
  MOESIM_CHECK(cudaGetDevice(&previous_));
  MOESIM_CHECK(cudaSetDevice(device));
}

CurrentDevice::~CurrentDevice() { static_cast<void>(cudaSetDevice(previous_)); }

Communicators::Communicators(int devices) : comms_(static_cast<std::size_t>(devices), nullptr) {
  for (int device = 0; device < devices; ++device) {
    const CurrentDevice current(device);
    streams_.push_back(make_stream());
  }
  // Without a list NCCL takes devices 0, 1, ...
  MOESIM_CHECK(ncclCommInitAll(comms_.data(), devices, nullptr));
}

Communicators::~Communicators() {
  for (ncclComm_t comm : comms_) {
    static_cast<void>(ncclCommDestroy(comm));
  }
}

void Communicators::run_on(int device, const CollectiveCase& c, void* send, void* receive) const {
  ncclComm_t comm = comms_[static_cast<std::size_t>(device)];
  cudaStream_t stream = this->stream(device);
  const ncclDataType_t type = c.int8 ? ncclInt8 : ncclHalf;
  const auto all = static_cast<std::size_t>(c.elements);
  const std::size_t share = all / comms_.size();
  switch (c.op) {
    case Collective::all_reduce:
      MOESIM_CHECK(ncclAllReduce(send, receive, all, type, ncclSum, comm, stream));
      break;
    case Collective::all_gather:
      MOESIM_CHECK(ncclAllGather(send, receive, share, type, comm, stream));
      break;
    case Collective::reduce_scatter:
      MOESIM_CHECK(ncclReduceScatter(send, receive, share, type, ncclSum, comm, stream));
      break;
    case Collective::all_to_all:
      for (int peer = 0; peer < devices(); ++peer) {
        const std::size_t at = static_cast<std::size_t>(peer) * share * (c.int8 ? 1 : 2);
        MOESIM_CHECK(ncclSend(static_cast<std::byte*>(send) + at, share, type, peer, comm, stream));
        MOESIM_CHECK(
            ncclRecv(static_cast<std::byte*>(receive) + at, share, type, peer, comm, stream));
      }
      break;
  }
}

void Communicators::run(const CollectiveCase& collective, const std::vector<void*>& send,
                        const std::vector<void*>& receive) const {
  MOESIM_CHECK(ncclGroupStart());
  for (int device = 0; device < devices(); ++device) {
    const auto at = static_cast<std::size_t>(device);
    run_on(device, collective, send[at], receive[at]);
  }
  MOESIM_CHECK(ncclGroupEnd());
}

CollectiveBuffers::CollectiveBuffers(const CollectiveCase& collective, int sets) {
  const auto bytes = static_cast<std::size_t>(collective.elements) * (collective.int8 ? 1 : 2);
  for (int device = 0; device < collective.devices; ++device) {
    const CurrentDevice current(device);
    send_.emplace_back(bytes, sets);
    receive_.emplace_back(bytes, sets);
    fill_random(send_.back().set(0), send_.back().bytes(),
                collective.int8 ? Format::int8 : Format::float16,
                static_cast<std::uint32_t>(device), nullptr);
    MOESIM_CHECK(cudaDeviceSynchronize());
  }
}

std::vector<void*> CollectiveBuffers::of(const std::vector<RotatingBuffer>& buffers, int set) {
  std::vector<void*> pointers;
  for (const RotatingBuffer& buffer : buffers) {
    pointers.push_back(buffer.set(set));
  }
  return pointers;
}

}  // namespace moesim::bench
