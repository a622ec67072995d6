// How much of a token's experts can be told in advance, learnt on the first three quarters of the
// requests and tested on the rest.
#include <algorithm>
#include <cmath>
#include <set>

#include "sim/core/thread_pool.h"
#include "workloads/statistics/statistics_parts.h"

namespace moesim::detail {
namespace {

struct Split {
  std::vector<std::uint32_t> train;
  std::vector<std::uint32_t> test;
};

Split split_requests(const StatisticsInput& input) {
  const std::size_t cut = input.segments.size() * 3 / 4;
  Split split;
  for (const auto token : input.kept) {
    (input.segment_of[token] < cut ? split.train : split.test).push_back(token);
  }
  return split;
}

// Indices of the n largest scores; equal scores by index.
void take_top(std::span<const double> scores, std::span<std::size_t> top) {
  std::size_t filled = 0;
  for (std::size_t e = 0; e < scores.size(); ++e) {
    if (filled == top.size() && scores[e] <= scores[top[filled - 1]]) {
      continue;
    }
    std::size_t at = filled < top.size() ? filled++ : filled - 1;
    for (; at > 0 && scores[e] > scores[top[at - 1]]; --at) {
      top[at] = top[at - 1];
    }
    top[at] = e;
  }
}

std::size_t hits(const StatisticsInput& input, std::size_t layer, std::size_t token,
                 std::span<const double> scores, std::span<std::size_t> top) {
  take_top(scores, top);
  std::size_t count = 0;
  for (const auto expert : top) {
    count += input.masks.has(layer, token, expert) ? 1U : 0U;
  }
  return count;
}

double share_of(std::size_t count, const StatisticsInput& input, const Split& split) {
  return static_cast<double>(count) / static_cast<double>(split.test.size() * input.top_k());
}

// Naive Bayes: score(b) = log P(b) + sum over the token's experts a of log P(b | a) / P(b).
double bayes_recall(const StatisticsInput& input, const Split& split, std::size_t from,
                    std::size_t to) {
  const std::size_t n = input.experts();
  std::vector<double> joint(n * n, 0.1);  // smoothing
  for (const auto token : split.train) {
    for (const auto a : input.ids(from, token)) {
      for (const auto b : input.ids(to, token)) {
        joint[a * n + b] += 1.0;
      }
    }
  }
  std::vector<double> prior = input.loads(to, split.train);
  double prior_sum = 0.0;
  for (auto& count : prior) {
    count += 1.0;
    prior_sum += count;
  }
  for (auto& count : prior) {
    count = std::log(count / prior_sum);
  }
  for (std::size_t a = 0; a < n; ++a) {
    double row_sum = 0.0;
    for (std::size_t b = 0; b < n; ++b) {
      row_sum += joint[a * n + b];
    }
    for (std::size_t b = 0; b < n; ++b) {
      joint[a * n + b] = std::log(joint[a * n + b] / row_sum) - prior[b];
    }
  }
  std::vector<std::size_t> top(input.top_k());
  std::size_t found = 0;
  for (const auto token : split.test) {
    std::vector<double> scores = prior;
    for (const auto a : input.ids(from, token)) {
      for (std::size_t b = 0; b < n; ++b) {
        scores[b] += joint[a * n + b];
      }
    }
    found += hits(input, to, token, scores, top);
  }
  return share_of(found, input, split);
}

// Token ids, numbered without gaps.
struct TokenTypes {
  explicit TokenTypes(const RoutedTokens& tokens) {
    std::vector<std::uint32_t> known = tokens.token_id;
    std::ranges::sort(known);
    known.erase(std::unique(known.begin(), known.end()), known.end());
    count = known.size();
    for (const auto id : tokens.token_id) {
      of.push_back(static_cast<std::uint32_t>(std::ranges::lower_bound(known, id) - known.begin()));
    }
  }

  std::size_t count = 0;
  std::vector<std::uint32_t> of;  // per token
};

// A table of experts per token id; unseen ids fall back to the popularity.
double token_recall(const StatisticsInput& input, const Split& split, std::size_t layer,
                    const TokenTypes& types) {
  const std::size_t n = input.experts();
  std::vector<float> table(types.count * n);
  for (const auto token : split.train) {
    for (const auto expert : input.ids(layer, token)) {
      table[types.of[token] * n + expert] += 1.0F;
    }
  }
  const auto popular = input.loads(layer, split.train);
  std::vector<std::size_t> top(input.top_k());
  std::vector<double> scores(n);
  std::size_t found = 0;
  for (const auto token : split.test) {
    for (std::size_t e = 0; e < n; ++e) {
      scores[e] = static_cast<double>(table[types.of[token] * n + e]) +
                  0.5 * popular[e] / static_cast<double>(split.train.size());
    }
    found += hits(input, layer, token, scores, top);
  }
  return share_of(found, input, split);
}

double popularity_recall(const StatisticsInput& input, const Split& split, std::size_t layer) {
  const auto popular = input.loads(layer, split.train);
  std::vector<std::size_t> top(input.top_k());
  std::size_t found = 0;
  for (const auto token : split.test) {
    found += hits(input, layer, token, popular, top);
  }
  return share_of(found, input, split);
}

void add_bayes_rows(const StatisticsInput& input, const Split& split, Rows& rows) {
  for (const std::size_t distance : {1U, 2U, 4U, 8U}) {
    if (input.layers() <= distance) {
      return;
    }
    std::vector<double> values((input.layers() - distance + 2) / 3);
    parallel_for(values.size(), input.threads, [&](std::size_t i) {
      values[i] = bayes_recall(input, split, i * 3, i * 3 + distance);
    });
    rows.push_back({"next_layer_prediction_recall", "mean",
                    "naive Bayes on expert ids; distance " + std::to_string(distance) + "; top " +
                        std::to_string(input.top_k()),
                    mean(values), "fraction"});
  }
}

}  // namespace

std::vector<double> token_recall_by_layer(const StatisticsInput& input) {
  const Split split = split_requests(input);
  const TokenTypes types(input.tokens);
  std::vector<double> recall(input.layers());
  parallel_for(recall.size(), input.threads,
               [&](std::size_t l) { recall[l] = token_recall(input, split, l, types); });
  return recall;
}

std::vector<double> popularity_recall_by_layer(const StatisticsInput& input) {
  const Split split = split_requests(input);
  std::vector<double> recall(input.layers());
  parallel_for(recall.size(), input.threads,
               [&](std::size_t l) { recall[l] = popularity_recall(input, split, l); });
  return recall;
}

void add_prediction_rows(const StatisticsInput& input, Rows& rows) {
  const Split split = split_requests(input);
  if (split.train.empty() || split.test.empty()) {
    return;
  }
  add_bayes_rows(input, split, rows);

  const TokenTypes types(input.tokens);
  std::set<std::size_t> sampled;
  for (std::size_t i = 0; i <= 4; ++i) {
    sampled.insert((input.layers() - 1) * i / 4);
  }
  const std::vector<std::size_t> layers(sampled.begin(), sampled.end());
  std::vector<double> by_token(layers.size());
  std::vector<double> by_popularity(layers.size());
  parallel_for(layers.size(), input.threads, [&](std::size_t i) {
    by_token[i] = token_recall(input, split, layers[i], types);
    by_popularity[i] = popularity_recall(input, split, layers[i]);
  });
  const std::string k = std::to_string(input.top_k());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string name = input.layer_name(layers[i]);
    if (types.count > 1) {  // one id for all means that the source does not know them
      rows.push_back({"token_id_prediction_recall", name, "token type table; top " + k, by_token[i],
                      "fraction"});
    }
    rows.push_back({"popularity_prediction_recall", name, k == "6" ? "six hottest" : k + " hottest",
                    by_popularity[i], "fraction"});
  }
}

}  // namespace moesim::detail
