// Dispatch and combine: token rows copied into expert order, and expert outputs summed up, on the
// core that also owns the other side, or between two cores at once.
#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "calibrate/cpu/host_kernels.h"
#include "calibrate/cpu/interrupt.h"
#include "calibrate/cpu/micro_case.h"

namespace moesim::detail {
namespace {

constexpr std::int64_t k_mib = std::int64_t{1} << 20;
constexpr std::int64_t k_top_k = 4;

// Of one thread: its tokens, and the rows of its experts.
struct Side {
  std::unique_ptr<float[], FreeMemory> tokens;
  std::unique_ptr<float[], FreeMemory> rows;
  std::vector<RowMove> moves;
  std::vector<const float*> terms;
  float sink = 0.0F;
};

struct Exchange {
  std::int64_t hidden;
  std::int64_t pairs;  // per thread; whole tokens
  std::vector<Side> sides;
};

// Row p of a thread's pairs lies where a stride that shares no factor with their number puts it:
// experts see tokens in order, tokens see experts scattered.
std::shared_ptr<Exchange> make_exchange(int threads, std::int64_t hidden, std::int64_t pairs) {
  auto made = std::make_shared<Exchange>();
  made->hidden = hidden;
  made->pairs = pairs;
  made->sides.resize(static_cast<std::size_t>(threads));
  for (Side& side : made->sides) {
    side.tokens = aligned_floats(static_cast<std::size_t>(pairs / k_top_k * hidden));
    side.rows = aligned_floats(static_cast<std::size_t>(pairs * hidden));
    std::fill_n(side.tokens.get(), pairs / k_top_k * hidden, 0.5F);
    std::fill_n(side.rows.get(), pairs * hidden, 0.5F);
  }
  for (std::size_t t = 0; t < made->sides.size(); ++t) {
    Side& other = made->sides[made->sides.size() - 1 - t];
    for (std::int64_t p = 0; p < pairs; ++p) {
      const std::int64_t row = p % k_top_k * (pairs / k_top_k) + p / k_top_k;
      float* to = other.rows.get() + row * hidden;
      made->sides[t].moves.push_back({made->sides[t].tokens.get() + p / k_top_k * hidden, to});
      made->sides[t].terms.push_back(to);
    }
  }
  return made;
}

MicroCase dispatch_case(const MicroMachine& machine, int threads, std::int64_t hidden,
                        std::int64_t pairs, std::int64_t between) {
  auto data = make_exchange(threads, hidden, pairs);
  return {{threads == 1 ? "dispatch_local" : "dispatch_remote", threads, pairs, 0, hidden, between,
           static_cast<int>(k_top_k)},
          [=, &machine] {
            machine.team.run(threads, [&](int rank) {
              Side& side = data->sides[static_cast<std::size_t>(rank)];
              side.sink += read_through(side.rows.get(), 4 * pairs * hidden);
              run_past_experts(machine, rank, threads, between);
              side.sink += read_through(side.tokens.get(), 4 * pairs / k_top_k * hidden);
            });
            return machine.team.run(threads, [&](int rank) {
              copy_rows(data->sides[static_cast<std::size_t>(rank)].moves, hidden);
            });
          },
          true};
}

MicroCase combine_case(const MicroMachine& machine, int threads, std::int64_t hidden,
                       std::int64_t pairs, std::int64_t between) {
  auto data = make_exchange(threads, hidden, pairs);
  return {{threads == 1 ? "combine_local" : "combine_remote", threads, pairs, 0, hidden, between,
           static_cast<int>(k_top_k)},
          [=, &machine] {
            machine.team.run(threads, [&](int rank) {
              Side& side = data->sides[static_cast<std::size_t>(rank)];
              side.sink += read_through(side.tokens.get(), 4 * pairs / k_top_k * hidden);
              std::fill_n(side.rows.get(), pairs * hidden, 0.5F);
              run_past_experts(machine, rank, threads, between);
            });
            return machine.team.run(threads, [&](int rank) {
              Side& side = data->sides[static_cast<std::size_t>(rank)];
              constexpr std::array<float, k_top_k> weights{0.25F, 0.25F, 0.25F, 0.25F};
              const std::span<const float* const> terms(side.terms);
              for (std::int64_t token = 0; token < pairs / k_top_k; ++token) {
                combine_row(side.tokens.get() + token * hidden,
                            terms.subspan(static_cast<std::size_t>(token * k_top_k), k_top_k),
                            weights, hidden);
              }
            });
          },
          true};
}

}  // namespace

std::vector<MicroCase> exchange_cases(const MicroMachine& machine, bool quick) {
  const std::vector<std::int64_t> pairs =
      quick ? std::vector<std::int64_t>{4, 64, 512}
            : std::vector<std::int64_t>{4, 16, 64, 256, 1024, 4096};
  const std::vector<std::int64_t> between =
      quick ? std::vector<std::int64_t>{0, 12, 96} : std::vector<std::int64_t>{0, 12, 24, 96};
  std::vector<MicroCase> cases;
  for (int threads = 1; threads <= std::min(2, machine.team.size()); ++threads) {
    for (const std::int64_t hidden : {512, 1024}) {
      for (const std::int64_t count : pairs) {
        for (const std::int64_t set : between) {
          check_interrupt(machine.cancel);
          cases.push_back(dispatch_case(machine, threads, hidden, count, set * k_mib));
          cases.push_back(combine_case(machine, threads, hidden, count, set * k_mib));
        }
      }
    }
  }
  return cases;
}

}  // namespace moesim::detail
