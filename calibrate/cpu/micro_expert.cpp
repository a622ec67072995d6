// Experts and gates: the time of a call by rows and by how far away its weights are.
#include <algorithm>
#include <memory>
#include <vector>

#include "calibrate/cpu/host_kernels.h"
#include "calibrate/cpu/interrupt.h"
#include "calibrate/cpu/micro_case.h"

namespace moesim::detail {
namespace {

constexpr std::int64_t k_mib = std::int64_t{1} << 20;

using Buffers = std::vector<std::unique_ptr<float[], FreeMemory>>;

std::shared_ptr<Buffers> buffers(int threads, std::int64_t floats) {
  auto made = std::make_shared<Buffers>();
  for (int t = 0; t < threads; ++t) {
    made->push_back(aligned_floats(static_cast<std::size_t>(floats)));
    std::fill_n(made->back().get(), floats, 0.5F);
  }
  return made;
}

// Enough calls that one repeat takes at least some hundred microseconds.
int calls_for(std::int64_t flops) {
  return static_cast<int>(
      std::clamp<std::int64_t>(40'000'000 / std::max<std::int64_t>(flops, 1), 1, 64));
}

MicroCase expert_case(const MicroMachine& machine, int threads, ExpertShape shape,
                      std::int64_t rows, std::int64_t working_set) {
  working_set = std::max(working_set, shape.weight_bytes() * threads);
  const std::int64_t x = rows * shape.hidden;
  auto memory = buffers(threads, 2 * x + shape.scratch_floats(rows));
  // Matrix-vector products run at the weights' pace, not at the arithmetic's.
  const int calls = calls_for(2 * std::max<std::int64_t>(rows, 4) * shape.weights());
  return {{"expert", threads, rows, shape.inter, shape.hidden, working_set, 1},
          cycling(machine, threads, shape.weights(), working_set, calls,
                  [=](int rank, const float* weights) {
                    float* at = (*memory)[static_cast<std::size_t>(rank)].get();
                    expert_ffn(shape, weights, at, rows, at + 2 * x, at + x);
                  })};
}

// Between two calls `between` bytes pass through the caches, and the tokens come back into them:
// the layer before has just written them.
MicroCase gate_case(const MicroMachine& machine, GateShape shape, std::int64_t rows,
                    std::int64_t between) {
  const std::int64_t x = rows * shape.hidden;
  auto memory = buffers(1, x + rows * (shape.experts + shape.top_k));
  auto picks =
      std::make_shared<std::vector<std::int32_t>>(static_cast<std::size_t>(rows * shape.top_k));
  // Sent somewhere: row r to the experts from r on.
  auto sent_to = std::make_shared<std::vector<std::uint16_t>>();
  for (std::int64_t i = 0; i < rows * shape.top_k; ++i) {
    sent_to->push_back(
        static_cast<std::uint16_t>((i / shape.top_k + i % shape.top_k) % shape.experts));
  }
  const std::int64_t weights = shape.experts * shape.hidden;
  const int calls = between == 0 ? calls_for(2 * rows * weights) : 1;
  const std::int64_t working_set = between + 4 * weights + 4 * x;
  auto sink = std::make_shared<float>(0.0F);
  return {
      {"gate", 1, rows, shape.experts, shape.hidden, working_set, static_cast<int>(shape.top_k)},
      [=, &machine] {
        float* at = memory->front().get();
        const float* w = machine.pool.matrix(machine.pool.matrices(weights) - 1, weights);
        machine.team.run(1, [&](int) {
          run_past_experts(machine, 0, 1, between);
          *sink += read_through(at, 4 * x);
        });
        TimedSample sample = machine.team.run(1, [&](int) {
          for (int i = 0; i < calls; ++i) {
            gate(shape, w, at, rows, at + x, picks->data());
            pick_weights(shape, at + x, rows, sent_to->data(), at + x + rows * shape.experts);
          }
        });
        sample.seconds /= calls;
        return sample;
      },
      between > 0};
}

}  // namespace

std::vector<MicroCase> expert_cases(const MicroMachine& machine, bool quick) {
  const std::vector<ExpertShape> shapes =
      quick ? std::vector<ExpertShape>{{512, 256}, {512, 512}}
            : std::vector<ExpertShape>{{512, 256}, {512, 512}, {1024, 512}, {1024, 256}};
  const std::vector<std::int64_t> all_rows =
      quick
          ? std::vector<std::int64_t>{1, 2, 4, 6, 8, 9, 11, 14, 16, 19, 25, 32, 37, 50, 64, 79, 128}
          : std::vector<std::int64_t>{1,  2,  3,  4,  5,  6,  7,  8,   9,   10,  11,  13, 14,
                                      15, 16, 17, 19, 21, 22, 24, 27,  29,  32,  33,  37, 41,
                                      46, 50, 55, 64, 67, 79, 97, 110, 128, 151, 193, 256};
  const std::vector<std::int64_t> some_rows =
      quick ? std::vector<std::int64_t>{1, 16} : std::vector<std::int64_t>{1, 4, 19};
  const std::vector<std::int64_t> sets =
      quick ? std::vector<std::int64_t>{6, 12, 24, 48, 96}
            : std::vector<std::int64_t>{3, 6, 12, 18, 24, 36, 48, 72, 96, 144, 256};
  const std::int64_t far = sets.back() * k_mib;
  std::vector<MicroCase> cases;
  for (const ExpertShape& shape : shapes) {
    for (const std::int64_t rows : all_rows) {
      for (const std::int64_t set : {std::int64_t{0}, far}) {
        check_interrupt(machine.cancel);
        cases.push_back(expert_case(machine, 1, shape, rows, set));
      }
    }
  }
  // How far away weights are, for two sizes of expert, so that size and distance are told apart.
  for (const ExpertShape& shape : {ExpertShape{512, 512}, ExpertShape{512, 256}}) {
    for (int threads = 1; threads <= std::min(2, machine.team.size()); ++threads) {
      for (const std::int64_t rows : some_rows) {
        for (const std::int64_t set : sets) {
          if (set * k_mib > shape.weight_bytes() * threads &&
              (threads == 2 || set * k_mib != far)) {
            cases.push_back(expert_case(machine, threads, shape, rows, set * k_mib));
          }
        }
        if (threads == 2) {
          cases.push_back(expert_case(machine, threads, shape, rows, 0));
        }
      }
    }
  }
  return cases;
}

std::vector<MicroCase> gate_cases(const MicroMachine& machine, bool quick) {
  const std::vector<std::int64_t> rows =
      quick ? std::vector<std::int64_t>{1, 4, 8, 32, 64}
            : std::vector<std::int64_t>{1, 2, 4, 5, 8, 16, 32, 64, 128, 256, 512};
  std::vector<MicroCase> cases;
  const std::vector<std::int64_t> between =
      quick ? std::vector<std::int64_t>{0, 12, 96} : std::vector<std::int64_t>{0, 12, 24, 96};
  for (const std::int64_t experts : {8, 64}) {
    for (const std::int64_t hidden : {512, 1024}) {
      for (const std::int64_t count : rows) {
        for (const std::int64_t set : between) {
          check_interrupt(machine.cancel);
          cases.push_back(gate_case(machine, {hidden, experts, 2}, count, set * k_mib));
        }
        cases.push_back(gate_case(machine, {hidden, experts, 8}, count, 0));
      }
    }
  }
  return cases;
}

}  // namespace moesim::detail
