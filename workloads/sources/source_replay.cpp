// Batches out of a trace on disk.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "workloads/sources/expected_routing.h"
#include "workloads/sources/sources.h"

namespace moesim::detail {
namespace {

struct TraceRequest {
  std::int64_t first = 0;
  std::int64_t tokens = 0;
};

std::vector<TraceRequest> requests_of(const TraceView& view) {
  std::vector<TraceRequest> requests;
  for (std::int64_t t = 0; t < view.items(); ++t) {
    const bool begins = t == 0 || view.request(t) != view.request(t - 1) ||
                        view.position(t) <= view.position(t - 1);
    if (begins) {
      requests.push_back({.first = t, .tokens = 0});
    }
    ++requests.back().tokens;
  }
  return requests;
}

// The requests of which a share [from, to) of all has begun.
std::vector<TraceRequest> part_of(std::vector<TraceRequest> requests, TraceRange range) {
  const auto count = static_cast<double>(requests.size());
  const auto first = static_cast<std::ptrdiff_t>(std::llround(range.from * count));
  const auto last = static_cast<std::ptrdiff_t>(std::llround(range.to * count));
  return {requests.begin() + first, requests.begin() + last};
}

class ReplaySource final : public RoutingSource {
 public:
  ReplaySource(std::unique_ptr<TraceFile> file, std::string path, TraceRange range)
      : file_(std::move(file)),
        path_(std::move(path)),
        requests_(part_of(requests_of(file_->view()), range)) {
    if (requests_.empty()) {
      throw ConfigError(path_, "the range holds none of the trace's requests; use a wider one");
    }
    first_token_ = requests_.front().first;
    tokens_ = requests_.back().first + requests_.back().tokens - first_token_;
  }

  [[nodiscard]] RoutedTokens batch(const BatchShape& shape) const override {
    check_shape(shape);
    const auto indices =
        shape.phase == TokenPhase::prefill ? prefill_tokens(shape) : decode_tokens(shape);
    RoutedTokens tokens = file_->view().gather(indices, shape.threads);
    const std::int64_t routed = routed_per_rank(shape);
    if (routed > 0) {
      tokens.token_weight =
          static_cast<double>(shape.tokens_per_rank) / static_cast<double>(routed);
    }
    return tokens;
  }

  // Request r is the trace's, r-th in seeded order and beginning anew behind the last. Prompts are
  // read from their start, decoding goes on from a seeded place behind the first; at the end of the
  // trace's request both begin anew.
  [[nodiscard]] RoutedTokens route(std::span<const TokenRun> runs, std::uint64_t seed,
                                   int threads) const override {
    check_runs(runs);
    const SeededRequests seeded(*this, seed);
    std::vector<std::int64_t> indices;
    for (const TokenRun& run : runs) {
      const std::size_t which = seeded.order[run.request % seeded.order.size()];
      const TraceRequest& request = requests_[which];
      const std::int64_t round = run.request / static_cast<std::int64_t>(seeded.order.size());
      const std::int64_t tokens = decodable(request);
      for (std::size_t i = 0; i < run.size(); ++i) {
        const std::int64_t position = run.position(i);
        indices.push_back(
            request.first +
            (run.phase == TokenPhase::prefill
                 ? position % request.tokens
                 : request.tokens - tokens + (seeded.start[which] + round + position) % tokens));
      }
    }
    RoutedTokens routed = file_->view().gather(indices, threads);
    std::size_t t = 0;
    for (const TokenRun& run : runs) {
      for (std::size_t i = 0; i < run.size(); ++i, ++t) {
        routed.request[t] = run.request;
        routed.position[t] = run.position(i);
        routed.phase[t] = run.phase;
      }
    }
    return routed;
  }

  [[nodiscard]] std::string describe() const override {
    const TraceView& view = file_->view();
    return "replay of " + path_ + " (" + view.metadata().model + "; " + view.metadata().source +
           "; " + std::to_string(tokens_) + " tokens of " + std::to_string(requests_.size()) +
           " requests); prefill: consecutive tokens in the trace's order and lengths from a seeded "
           "request on; decode: one token at a seeded position of each of distinct requests, while "
           "they last, then further tokens of them";
  }

  [[nodiscard]] std::vector<std::string> warnings(const BatchShape& shape) const override {
    std::vector<std::string> found;
    const std::int64_t tokens = shape.ranks * shape.tokens_per_rank;
    if (tokens > tokens_) {
      found.push_back(path_ + " has " + std::to_string(tokens_) +
                      " tokens and was repeated for a batch of " + std::to_string(tokens));
    } else if (shape.phase == TokenPhase::decode &&
               tokens > static_cast<std::int64_t>(requests_.size())) {
      found.push_back(path_ + " has " + std::to_string(requests_.size()) +
                      " requests; a decode batch of " + std::to_string(tokens) +
                      " takes several tokens of each");
    }
    return found;
  }

 private:
  [[nodiscard]] RoutingReference reference(int threads) const override;
  [[nodiscard]] std::vector<double> shares(int threads) const;

  // Requests in seeded order; where decoding starts in each, in tokens that can be decoded.
  struct SeededRequests {
    SeededRequests(const ReplaySource& source, std::uint64_t seed)
        : order(source.requests_.size()) {
      Rng rng = RngStreams(seed).stream("routing/replay");
      std::iota(order.begin(), order.end(), std::size_t{0});
      shuffle(std::span(order), rng);
      for (const auto& request : source.requests_) {
        const auto tokens = static_cast<std::uint64_t>(source.decodable(request));
        start.push_back(static_cast<std::int64_t>(rng.below(tokens)));
      }
    }

    std::vector<std::size_t> order;
    std::vector<std::int64_t> start;  // [request of the trace]
  };

  [[nodiscard]] std::vector<std::int64_t> prefill_tokens(const BatchShape& shape) const {
    Rng rng = RngStreams(shape.seed).stream("routing/replay");
    const std::int64_t start = requests_[rng.below(requests_.size())].first;
    std::vector<std::int64_t> indices;
    for (int rank = 0; rank < shape.ranks; ++rank) {
      for (std::int64_t i = 0; i < routed_per_rank(shape); ++i) {
        const std::int64_t at = rank * shape.tokens_per_rank + sampled_index(shape, i);
        indices.push_back(first_token_ + (start - first_token_ + at) % tokens_);
      }
    }
    return indices;
  }

  // Round n takes, of each request in shuffled order, the token n places behind its seeded one.
  // Begin-of-sentence tokens are never decoded, so position 0 is passed over where there are
  // others.
  [[nodiscard]] std::vector<std::int64_t> decode_tokens(const BatchShape& shape) const {
    const SeededRequests seeded(*this, shape.seed);
    std::vector<std::int64_t> indices;
    for (int rank = 0; rank < shape.ranks; ++rank) {
      for (std::int64_t i = 0; i < routed_per_rank(shape); ++i) {
        const std::int64_t at = rank * shape.tokens_per_rank + sampled_index(shape, i);
        const auto of_round = static_cast<std::int64_t>(seeded.order.size());
        const std::size_t which = seeded.order[static_cast<std::size_t>(at % of_round)];
        const TraceRequest& request = requests_[which];
        const std::int64_t tokens = decodable(request);
        indices.push_back(request.first + (request.tokens - tokens) +
                          (seeded.start[which] + at / of_round) % tokens);
      }
    }
    return indices;
  }

  [[nodiscard]] std::int64_t decodable(const TraceRequest& request) const {
    const bool skip = file_->view().position(request.first) == 0 && request.tokens > 1;
    return request.tokens - (skip ? 1 : 0);
  }

  std::unique_ptr<TraceFile> file_;
  std::string path_;
  std::vector<TraceRequest> requests_;
  std::int64_t first_token_ = 0;
  std::int64_t tokens_ = 0;
};

// Of at most 32,768 of the tokens, evenly strided.
std::vector<double> ReplaySource::shares(int threads) const {
  constexpr std::int64_t most = 32768;
  std::vector<std::int64_t> indices;
  const std::int64_t count = std::min(most, tokens_);
  for (std::int64_t i = 0; i < count; ++i) {
    indices.push_back(first_token_ + i * tokens_ / count);
  }
  const RoutedTokens tokens = file_->view().gather(indices, threads);
  const auto experts = static_cast<std::size_t>(tokens.experts);
  std::vector<double> shares(static_cast<std::size_t>(tokens.layers) * experts);
  for (int l = 0; l < tokens.layers; ++l) {
    const double pick = 1.0 / static_cast<double>(tokens.layer(l).size());
    for (const std::uint16_t id : tokens.layer(l)) {
      shares[static_cast<std::size_t>(l) * experts + id] += pick;
    }
  }
  return shares;
}

RoutingReference ReplaySource::reference(int threads) const {
  const TraceView& view = file_->view();
  std::vector<std::int64_t> indices;
  const std::size_t stride = std::max<std::size_t>(1, requests_.size() / k_reference_sequences);
  std::size_t sequences = 0;
  const auto runs = reference_runs();
  for (std::size_t r = 0; r < requests_.size() && sequences < runs.size(); r += stride) {
    const std::int64_t tokens = decodable(requests_[r]);
    if (tokens < k_reference_tokens_each) {
      continue;
    }
    // The distances of the reference, as far as the request is long enough for them.
    const auto& kept = runs[sequences++].kept;
    const std::int64_t far = std::min<std::int64_t>(kept[2], tokens / 2);
    const std::int64_t first = requests_[r].first + requests_[r].tokens - tokens;
    indices.push_back(first);
    indices.push_back(first + std::min<std::int64_t>(kept[1], far - 1));
    indices.push_back(first + far);
    indices.push_back(first + std::min<std::int64_t>(far + kept[3] - kept[2], tokens - 1));
  }
  if (indices.empty()) {
    throw ConfigError(path_, "has no request of at least " +
                                 std::to_string(k_reference_tokens_each) +
                                 " tokens to work expected routing out from; draw tokens instead");
  }
  return {.router = {.layers = view.shape().layers,
                     .experts = view.shape().experts,
                     .top_k = view.shape().top_k},
          .shares = shares(threads),
          .tokens = view.gather(indices, threads),
          .tokens_per_sequence = k_reference_tokens_each,
          .exact = false,
          .description = path_ + ": its loads, and picks of " + std::to_string(indices.size()) +
                         " of its tokens"};
}

std::unique_ptr<RoutingSource> source_of_loads(const RouterSpec& router, const LoadTrace& trace,
                                               const std::string& path, const std::string& where) {
  const auto layers = static_cast<std::size_t>(router.layers);
  const auto experts = static_cast<std::size_t>(router.experts);
  std::vector<std::vector<double>> weights(layers, std::vector<double>(experts));
  for (const LoadWindow& window : trace.windows) {
    for (std::size_t i = 0; i < window.counts.size(); ++i) {
      weights[i / experts][i % experts] += window.counts[i];
    }
  }
  return make_iid_source(router, std::move(weights),
                         "load matrix " + path + " (" + trace.metadata.model + "; " +
                             trace.metadata.source + "): independent choices, popularity of the " +
                             std::to_string(trace.windows.size()) + " windows' sum",
                         where);
}

}  // namespace

std::unique_ptr<RoutingSource> make_replay_source(const RouterSpec& router, const std::string& path,
                                                  TraceRange range, const std::string& where) {
  auto file = std::make_unique<TraceFile>(path);
  const TraceView& view = file->view();
  const TraceShape& shape = view.shape();
  if (shape.layers != router.layers || shape.experts != router.experts ||
      shape.top_k != router.top_k) {
    const auto text = [](int layers, int experts, int top_k) {
      return std::to_string(layers) + " MoE layers with " + std::to_string(top_k) + " of " +
             std::to_string(experts) + " experts";
    };
    throw ConfigError(where, path + " has " + text(shape.layers, shape.experts, shape.top_k) +
                                 "; the model needs " +
                                 text(router.layers, router.experts, router.top_k));
  }
  if (view.items() == 0) {
    throw ConfigError(where, path + " is empty; needs a trace with tokens");
  }
  if (shape.kind == TraceKind::loads) {
    if (range.from != 0.0 || range.to != 1.0) {
      throw ConfigError(where, path + " has loads, not requests, of which to take a range");
    }
    return source_of_loads(router, view.loads(), path, where);
  }
  return std::make_unique<ReplaySource>(std::move(file), path, range);
}

}  // namespace moesim::detail
