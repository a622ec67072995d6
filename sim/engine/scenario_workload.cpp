#include "sim/engine/scenario_workload.h"

#include <array>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 4> step_kinds{"decode", "prefill", "mixed", "batches"};
constexpr std::array<std::string_view, 2> phases{"prefill", "decode"};
constexpr std::int64_t most_tokens = 1 << 24;  // per rank and step
constexpr std::int64_t longest_context = 1 << 24;

void parse_uniform(ConfigObject& object, Workload& workload) {
  if (workload.kind != StepKind::prefill) {
    workload.decode_requests = object.integer("requests_per_rank", 1, most_tokens);
    workload.context = object.integer("context", 1, longest_context);
  }
  if (workload.kind != StepKind::decode) {
    workload.prefill_tokens = object.integer("tokens_per_rank", 1, most_tokens);
    workload.prompt_tokens =
        object.integer_or("prompt_tokens", workload.prefill_tokens, 1, most_tokens);
    if (workload.prefill_tokens % workload.prompt_tokens != 0) {
      object.fail("prompt_tokens", "does not divide tokens_per_rank (" +
                                       std::to_string(workload.prefill_tokens) +
                                       "); a step holds whole prompts of one length");
    }
  }
  workload.routing = object.text_or("routing", "balanced");
  if (workload.kind == StepKind::prefill) {
    workload.routing_sample = object.integer_or("routing_sample", 0, 0, workload.prefill_tokens);
    if (workload.routing_sample > 0 && workload.prefill_tokens % workload.routing_sample != 0) {
      object.fail("routing_sample", "does not divide the " +
                                        std::to_string(workload.prefill_tokens) +
                                        " tokens of a rank; each routed token stands for equally "
                                        "many; 0 routes every token");
    }
  }
}

SequenceClass parse_sequences(ConfigObject object) {
  SequenceClass sequences;
  sequences.phase = object.choice("phase", phases) == "prefill" ? Phase::prefill : Phase::decode;
  sequences.count = object.integer_or("count", 1, 1, most_tokens);
  sequences.new_tokens = sequences.phase == Phase::decode
                             ? object.integer_or("new_tokens", 1, 1, most_tokens)
                             : object.integer("new_tokens", 1, most_tokens);
  if (sequences.phase == Phase::prefill) {
    sequences.last_chunk = object.boolean_or("last_chunk", true);
  }
  sequences.context =
      object.integer_or("context", sequences.new_tokens, sequences.new_tokens, longest_context);
  object.reject_unknown_keys();
  return sequences;
}

// [[{phase, new_tokens, context, count}, ...] per attention data-parallel rank].
std::vector<RankBatch> parse_ranks(const nlohmann::json& ranks, const std::string& where) {
  if (!ranks.is_array() || ranks.empty()) {
    throw ConfigError(where,
                      "must be an array with a list of sequences for every attention "
                      "data-parallel rank");
  }
  std::vector<RankBatch> batches;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const std::string rank = where + "/" + std::to_string(r);
    if (!ranks[r].is_array()) {
      throw ConfigError(rank, "must be an array of sequences; [] is an idle rank");
    }
    RankBatch& batch = batches.emplace_back();
    for (std::size_t i = 0; i < ranks[r].size(); ++i) {
      batch.sequences.push_back(
          parse_sequences(ConfigObject(ranks[r][i], rank + "/" + std::to_string(i))));
    }
    if (batch.tokens() > most_tokens) {
      throw ConfigError(rank, "has more than " + std::to_string(most_tokens) + " new tokens");
    }
  }
  return batches;
}

void parse_batches(ConfigObject& object, Workload& workload) {
  const nlohmann::json* ranks = object.raw("ranks");
  if (object.has("file")) {
    if (ranks != nullptr) {
      object.fail("file", "stands beside ranks; a step has one of them");
    }
    const std::string file = object.text("file");
    workload.batches = parse_ranks(read_json_file(file), file + "#");
  } else if (ranks == nullptr) {
    object.fail("ranks", "is missing; batches are listed there, or in a file");
  } else {
    object.set_effective("ranks", *ranks);
    workload.batches = parse_ranks(*ranks, object.where("ranks"));
  }
  workload.routing = object.text_or("routing", "balanced");
}

}  // namespace

std::string_view name_of(StepKind kind) { return step_kinds.at(static_cast<std::size_t>(kind)); }

Workload parse_workload(ConfigObject object) {
  Workload workload;
  constexpr std::array<std::string_view, 5> kinds{"decode", "prefill", "mixed", "batches", "train"};
  const std::string kind = object.choice("kind", kinds);
  if (kind == "train") {
    object.fail("kind",
                "is a training iteration, which `simulate` and `plan` run; here a step: "
                "decode, prefill, mixed or batches");
  }
  workload.kind = kind == "decode"    ? StepKind::decode
                  : kind == "prefill" ? StepKind::prefill
                  : kind == "mixed"   ? StepKind::mixed
                                      : StepKind::batches;
  if (workload.kind == StepKind::batches) {
    parse_batches(object, workload);
  } else {
    parse_uniform(object, workload);
  }
  object.reject_unknown_keys();
  return workload;
}

StepBatch Workload::batch(int attention_ranks, int index) const {
  if (kind == StepKind::batches) {
    std::vector<RankBatch> ranks = batches;
    for (RankBatch& rank : ranks) {
      for (SequenceClass& s : rank.sequences) {
        s.context += s.phase == Phase::decode ? index : 0;
      }
    }
    return StepBatch(ranks);
  }
  RankBatch rank;
  if (decode_requests > 0) {
    rank.sequences.push_back({.phase = Phase::decode,
                              .count = decode_requests,
                              .new_tokens = 1,
                              .context = context + index});
  }
  if (prefill_tokens > 0) {
    rank.sequences.push_back({.phase = Phase::prefill,
                              .count = prefill_tokens / prompt_tokens,
                              .new_tokens = prompt_tokens,
                              .context = prompt_tokens});
  }
  StepBatch batch(rank, attention_ranks);
  batch.routing_sample = routing_sample;
  return batch;
}

}  // namespace moesim
