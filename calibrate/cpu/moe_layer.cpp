#include "calibrate/cpu/moe_layer.h"

#include <algorithm>
#include <cstring>

#include "sim/core/error.h"

namespace moesim {
namespace {

std::size_t index(std::int64_t value) { return static_cast<std::size_t>(value); }

}  // namespace

MoeLayers::MoeLayers(const MoePlan& plan, const WeightPool& pool, ThreadTeam& team,
                     const ExpertFile* file)
    : plan_(plan),
      pool_(pool),
      team_(team),
      file_(file),
      ranks_(index(plan.config.ranks)),
      prepared_(plan.steps.size()),
      times_(plan.steps.size()),
      done_(plan.steps.size()) {
  const MoeConfig& c = plan.config;
  ensure(c.weight_bytes() <= pool.bytes(), "the pool holds the model's experts");
  if (c.home != ExpertHome::memory) {
    ensure(file != nullptr && c.weight_bytes() <= file->bytes(), "the file holds the experts");
    ensure(c.shape.weight_bytes() % k_disk_page == 0, "an expert is a whole number of pages");
  }
  allocate();
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    prepare(s);
  }
}

void MoeLayers::allocate() {
  const MoeConfig& c = plan_.config;
  input_.resize(index(c.ranks * c.tokens_per_rank * c.shape.hidden));
  std::uint32_t state = 777;
  for (float& value : input_) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) * 0x1p-23F - 1.0F;
  }
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    Rank& rank = ranks_[r];
    rank.tokens = aligned_floats(index(c.tokens_per_rank * c.shape.hidden));
    rank.logits = aligned_floats(index(c.tokens_per_rank * c.experts));
    rank.own_picks.resize(index(c.tokens_per_rank * c.top_k));
    rank.weights.resize(index(c.tokens_per_rank * c.top_k));
    rank.received.resize(index(c.batches()));
    std::int64_t most_expert_rows = 1;
    for (std::size_t b = 0; b < rank.received.size(); ++b) {
      std::int64_t most = 1;
      for (const auto& layer : plan_.plan) {
        most = std::max<std::int64_t>(most, layer[b].rows[r]);
        for (const ExpertRows& rows : layer[b].experts[r]) {
          most_expert_rows = std::max<std::int64_t>(most_expert_rows, rows.rows);
        }
      }
      const std::size_t floats = index(most * c.shape.hidden);
      rank.received[b] = {aligned_floats(floats), {aligned_floats(floats), aligned_floats(floats)}};
    }
    rank.scratch = aligned_floats(index(c.shape.scratch_floats(most_expert_rows)));
    if (c.home != ExpertHome::memory) {
      rank.lru.emplace(index(c.cache_experts));
      rank.cache = aligned_floats(index(c.cache_experts * c.shape.weights()));
    }
  }
}

void MoeLayers::prepare(std::size_t s) {
  const MoeStep& step = plan_.steps[s];
  const MoeLayerPlan& layer = plan_.plan[index(step.layer)][index(step.batch)];
  const std::int64_t hidden = plan_.config.shape.hidden;
  Prepared& prepared = prepared_[s];
  Rank& rank = ranks_[index(step.rank)];
  if (step.kind == MoeStepKind::dispatch || step.kind == MoeStepKind::combine) {
    for (const PairRow& pair : layer.pairs[index(step.rank)]) {
      const Received& there = ranks_[index(pair.destination)].received[index(step.batch)];
      const std::int64_t at = pair.row * hidden;
      if (step.kind == MoeStepKind::combine) {
        prepared.terms.push_back(there.results[index(step.layer % 2)].get() + at);
      } else if (step.holds(pair)) {
        prepared.moves.push_back({rank.tokens.get() + pair.token * hidden, there.rows.get() + at});
      }
    }
  } else if (step.kind == MoeStepKind::experts) {
    for (const ExpertRows& rows : layer.experts[index(step.rank)]) {
      if (step.holds(rows)) {
        prepared.experts.push_back(rows);
      }
    }
  }
}

const float* MoeLayers::gate_weights(int layer) const {
  // From the pool's end, where small models have no experts.
  const std::int64_t each = plan_.config.experts * plan_.config.shape.hidden;
  return pool_.matrix(pool_.matrices(each) - 1 - layer, each);
}

std::span<const float> MoeLayers::output(int rank) const {
  return {ranks_[index(rank)].tokens.get(),
          index(plan_.config.tokens_per_rank * plan_.config.shape.hidden)};
}

TimedSample MoeLayers::run() {
  const MoeConfig& c = plan_.config;
  const std::size_t floats = index(c.tokens_per_rank * c.shape.hidden);
  // On the rank's own core: that is where the layer before would have left its tokens.
  team_.run(c.threads(), [&](int r) {
    if (r < c.ranks) {
      std::memcpy(ranks_[index(r)].tokens.get(), input_.data() + index(r) * floats,
                  floats * sizeof(float));
      ranks_[index(r)].disk_reads = 0;
    }
  });
  ++epoch_;
  abandoned_ = false;
  const TimedSample sample = team_.run(c.threads(), [&](int thread) {
    try {
      execute(thread, epoch_);
    } catch (...) {
      abandoned_ = true;  // the other thread must not wait for what will not come
      throw;
    }
  });
  disk_reads_ = 0;
  for (const Rank& rank : ranks_) {
    disk_reads_ += rank.disk_reads;
  }
  return sample;
}

void MoeLayers::execute(int thread, unsigned epoch) {
  for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
    const MoeStep& step = plan_.steps[s];
    if (step.thread != thread) {
      continue;
    }
    for (const int before : step.after) {
      while (done_[index(before)].epoch.load(std::memory_order_acquire) != epoch) {
        if (abandoned_) {
          return;
        }
        spin_pause();
      }
    }
    times_[s] = {host_now_s(), 0.0, 0.0};
    switch (step.kind) {
      case MoeStepKind::gate:
        run_gate(step);
        break;
      case MoeStepKind::dispatch:
        copy_rows(prepared_[s].moves, plan_.config.shape.hidden);
        break;
      case MoeStepKind::experts:
        run_experts(s);
        break;
      case MoeStepKind::combine:
        run_combine(s);
        break;
    }
    times_[s].end_s = host_now_s();
    done_[s].epoch.store(epoch, std::memory_order_release);
  }
}

void MoeLayers::run_gate(const MoeStep& step) {
  const MoeConfig& c = plan_.config;
  Rank& rank = ranks_[index(step.rank)];
  const std::int64_t begin = plan_.first_token[index(step.batch)];
  const std::int64_t end = plan_.first_token[index(step.batch) + 1];
  float* logits = rank.logits.get() + begin * c.experts;
  const GateShape shape{c.shape.hidden, c.experts, c.top_k};
  gate(shape, gate_weights(step.layer), rank.tokens.get() + begin * c.shape.hidden, end - begin,
       logits, rank.own_picks.data() + begin * c.top_k);
  pick_weights(shape, logits, end - begin, plan_.picks(step.layer, step.rank, begin),
               rank.weights.data() + begin * c.top_k);
}

const float* MoeLayers::expert_weights(Rank& rank, int layer, int expert, double& disk_s) {
  const MoeConfig& c = plan_.config;
  const std::int64_t key = static_cast<std::int64_t>(layer) * c.experts + expert;
  if (c.home == ExpertHome::memory) {
    return pool_.matrix(key, c.shape.weights());
  }
  const LruIndex::Touch touch = rank.lru->touch(key);
  float* at = rank.cache.get() + touch.slot * index(c.shape.weights());
  if (!touch.hit) {
    const double start = host_now_s();
    file_->read(key * c.shape.weight_bytes(), c.shape.weight_bytes(), at,
                c.home == ExpertHome::disk ? ReadMode::cold_direct : ReadMode::warm);
    disk_s += host_now_s() - start;
    ++rank.disk_reads;
  }
  return at;
}

void MoeLayers::run_experts(std::size_t s) {
  const MoeStep& step = plan_.steps[s];
  Rank& rank = ranks_[index(step.rank)];
  const Received& mine = rank.received[index(step.batch)];
  const ExpertShape& shape = plan_.config.shape;
  for (const ExpertRows& rows : prepared_[s].experts) {
    const float* weights = expert_weights(rank, step.layer, rows.expert, times_[s].disk_s);
    const std::int64_t at = rows.first_row * shape.hidden;
    expert_ffn(shape, weights, mine.rows.get() + at, rows.rows, rank.scratch.get(),
               mine.results[index(step.layer % 2)].get() + at);
  }
}

void MoeLayers::run_combine(std::size_t s) {
  const MoeStep& step = plan_.steps[s];
  const MoeConfig& c = plan_.config;
  Rank& rank = ranks_[index(step.rank)];
  const std::int64_t begin = plan_.first_token[index(step.batch)];
  const std::int64_t end = plan_.first_token[index(step.batch) + 1];
  const std::span<const float* const> terms(prepared_[s].terms);
  const auto k = index(c.top_k);
  for (std::int64_t t = begin; t < end; ++t) {
    combine_row(rank.tokens.get() + t * c.shape.hidden, terms.subspan(index(t - begin) * k, k),
                {rank.weights.data() + index(t) * k, k}, c.shape.hidden);
  }
}

}  // namespace moesim
