#include <algorithm>
#include <array>
#include <memory>

#include "calibrate/cpu/host_kernels.h"
#include "calibrate/cpu/micro_case.h"

namespace moesim {

std::span<const MicroFamily> micro_families() {
  constexpr double core = 0.003;
  constexpr double device = 0.01;
  static constexpr std::array families{
      MicroFamily{"gemm", "matrix products fp32, bf16, int8 by shape and threads", false, core, 0,
                  detail::gemm_cases},
      MicroFamily{"stream", "copy, triad, read and memcpy by working set and threads", false, core,
                  0, detail::stream_cases},
      MicroFamily{"expert", "SwiGLU experts by tokens per expert, working set and threads", true,
                  core, 0, detail::expert_cases},
      MicroFamily{"gate", "router product and top-k", true, core, 0, detail::gate_cases},
      MicroFamily{"exchange", "token rows copied to, and summed up from, this or another core",
                  true, core, 0, detail::exchange_cases},
      MicroFamily{"attention", "grouped-query decode attention by KV length", false, core, 0,
                  detail::attention_cases},
      MicroFamily{"disk", "reads of experts from device and page cache, by size and queue", true,
                  device, 1, detail::disk_cases},
      MicroFamily{"disk_paths", "the same with a dropped page cache and through mmap", false,
                  device, 2, detail::disk_path_cases},
      MicroFamily{"handoff", "from one thread to another and back", true, core, 0,
                  detail::handoff_cases},
  };
  return families;
}

namespace detail {

std::function<TimedSample()> cycling(const MicroMachine& machine, int threads,
                                     std::int64_t floats_each, std::int64_t working_set_bytes,
                                     int calls, std::function<void(int, const float*)> call) {
  const std::int64_t fit = machine.pool.matrices(floats_each) / threads;
  const std::int64_t wanted = working_set_bytes / (4 * floats_each * threads);
  const std::int64_t each = std::max<std::int64_t>(1, std::min(fit, wanted));
  auto next = std::make_shared<std::vector<std::int64_t>>(static_cast<std::size_t>(threads), 0);
  return [&machine, threads, floats_each, calls, each, next, call = std::move(call)] {
    TimedSample sample = machine.team.run(threads, [&](int rank) {
      std::int64_t at = (*next)[static_cast<std::size_t>(rank)];
      for (int i = 0; i < calls; ++i) {
        call(rank, machine.pool.matrix(rank * each + at, floats_each));
        at = at + 1 == each ? 0 : at + 1;
      }
      (*next)[static_cast<std::size_t>(rank)] = at;
    });
    sample.seconds /= calls;
    return sample;
  };
}

void run_past_experts(const MicroMachine& machine, int rank, int threads, std::int64_t bytes) {
  constexpr ExpertShape shape{512, 512};
  std::array<float, 2 * 512 + 3 * 512> memory{};
  float* x = memory.data();
  const std::int64_t each = std::min(bytes, machine.pool.bytes()) / threads / shape.weight_bytes();
  for (std::int64_t i = 0; i < each; ++i) {
    expert_ffn(shape, machine.pool.matrix(rank * each + i, shape.weights()), x, 1, x + 1024,
               x + 512);
  }
}

}  // namespace detail
}  // namespace moesim
