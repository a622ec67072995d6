// Collectives of the first 2, 4, 8 devices, and copies between every two of them.
#include <algorithm>
#include <memory>

#include "calibrate/cuda/device/communicators.h"
#include "calibrate/cuda/families.h"
#include "calibrate/cuda/kernels/fill.h"

namespace moesim::bench {
namespace {

// Begins and ends of a repeat on every device: a collective takes as long as its slowest device.
class DeviceEvents {
 public:
  explicit DeviceEvents(const Communicators& comms) : comms_(comms) {
    for (int device = 0; device < comms.devices(); ++device) {
      const CurrentDevice current(device);
      begin_.push_back(make_event());
      end_.push_back(make_event());
    }
  }
  void begin() const { record(begin_); }
  void end() const { record(end_); }
  [[nodiscard]] double slowest_ms() const {
    double slowest = 0;
    for (int device = 0; device < comms_.devices(); ++device) {
      const CurrentDevice current(device);
      const auto at = static_cast<std::size_t>(device);
      MOESIM_CHECK(cudaEventSynchronize(end_[at].get()));
      slowest = std::max(slowest, elapsed_ms(begin_[at], end_[at]));
    }
    return slowest;
  }

 private:
  void record(const std::vector<Event>& events) const {
    for (int device = 0; device < comms_.devices(); ++device) {
      const CurrentDevice current(device);
      MOESIM_CHECK(
          cudaEventRecord(events[static_cast<std::size_t>(device)].get(), comms_.stream(device)));
    }
  }
  const Communicators& comms_;
  std::vector<Event> begin_;
  std::vector<Event> end_;
};

std::vector<double> measure(const Bench& bench, const Communicators& comms,
                            const CollectiveCase& c) {
  constexpr int warm_up = 3;
  const Bytes one_set(2 * static_cast<double>(c.elements) * (c.int8 ? 1 : 2));
  const int sets = bench.sets_of(one_set);
  const CollectiveBuffers buffers(c, sets);
  const DeviceEvents events(comms);
  const auto repeat = [&](int launches) {
    events.begin();
    for (int i = 0; i < launches; ++i) {
      comms.run(c, buffers.send(i % sets), buffers.receive(i % sets));
    }
    events.end();
    return events.slowest_ms() / launches;
  };
  repeat(warm_up);
  const RepeatPlan plan = plan_repeats(bench.limits(), 1, repeat(warm_up));
  std::vector<double> samples;
  for (int i = 0; i < plan.repeats; ++i) {
    samples.push_back(repeat(plan.launches));
  }
  return samples;
}

void allow_access(int from, int to) {
  int possible = 0;
  MOESIM_CHECK(cudaDeviceCanAccessPeer(&possible, from, to));
  if (possible == 0) {
    return;  // the copies then go through the host, and their times say so
  }
  const CurrentDevice current(from);
  const cudaError_t code = cudaDeviceEnablePeerAccess(to, 0);
  if (code == cudaErrorPeerAccessAlreadyEnabled) {
    static_cast<void>(cudaGetLastError());  // clears it
  } else {
    check(code, "cudaDeviceEnablePeerAccess", __FILE__, __LINE__);
  }
}

std::vector<double> measure(const Bench& bench, const PeerCase& peer) {
  allow_access(peer.source, peer.target);
  allow_access(peer.target, peer.source);
  const CurrentDevice current(peer.source);
  const auto bytes = static_cast<std::size_t>(peer.bytes);
  const int sets = bench.sets_of(Bytes(2 * static_cast<double>(peer.bytes)));
  const auto on = [&](int device) {
    const CurrentDevice there(device);
    RotatingBuffer buffer(bytes, sets);
    fill_random(buffer.set(0), buffer.bytes(), Format::float32, 1, nullptr);
    MOESIM_CHECK(cudaDeviceSynchronize());
    return buffer;
  };
  const RotatingBuffer source = on(peer.source);
  const RotatingBuffer target = on(peer.target);
  const RotatingBuffer back_source = on(peer.target);
  const RotatingBuffer back_target = on(peer.source);
  const Stream stream = make_stream();
  const Stream back_stream = make_stream();
  const Load forth{stream.get(), sets, [&](int set) {
                     MOESIM_CHECK(cudaMemcpyPeerAsync(target.set(set), peer.target, source.set(set),
                                                      peer.source, bytes, stream.get()));
                   }};
  const Load back{
      back_stream.get(), sets, [&](int set) {
        MOESIM_CHECK(cudaMemcpyPeerAsync(back_target.set(set), peer.source, back_source.set(set),
                                         peer.target, bytes, back_stream.get()));
      }};
  if (peer.both) {
    return time_under_load(forth, back, bench.limits());
  }
  return time_launches(forth.stream, bench.limits(), sets, Replay::stream, forth.launch);
}

}  // namespace

void run_collectives(Bench& bench) {
  std::unique_ptr<Communicators> comms;
  bench.each(collective_grid(bench.devices(), bench.quick()), [&](const CollectiveCase& c) {
    if (!comms || comms->devices() != c.devices) {
      comms.reset();
      comms = std::make_unique<Communicators>(c.devices);
    }
    return measure(bench, *comms, c);
  });
  bench.each(peer_grid(bench.devices(), bench.quick()),
             [&](const PeerCase& peer) { return measure(bench, peer); });
}

}  // namespace moesim::bench
