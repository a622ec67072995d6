// Pipeline schedules as data: where the model's parts lie, which way every micro-batch goes, and in
// which order a stage runs its passes. Knows nothing of models, machines or times.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

// What a stage does with one micro-batch on one of its chunks.
enum class Pass : std::uint8_t {
  forward,
  backward,     // gradients of inputs and weights together
  input_grad,   // gradients of inputs alone: what the stage before waits for
  weight_grad,  // gradients of weights alone, any time later
};
std::string_view name_of(Pass pass);

// A chunk of a stage. Chunks hold parts of the model: a part is a run of consecutive layers; the
// first holds the embedding, the last the head.
struct ChunkPlace {
  std::int32_t stage = 0;
  std::int32_t chunk = 0;

  friend bool operator==(const ChunkPlace&, const ChunkPlace&) = default;
};

struct PipelineAction {
  Pass pass = Pass::forward;
  std::int32_t micro_batch = 0;
  std::int32_t chunk = 0;
  // Runs side by side with the next action of the stage (a forward beside a backward: DualPipe, or
  // 1F1B with the exchanges of one beside the kernels of the other).
  bool beside_next = false;

  friend bool operator==(const PipelineAction&, const PipelineAction&) = default;
};

struct PipelineSchedule {
  std::vector<std::vector<std::int32_t>> part;       // [stage][chunk]
  std::vector<std::vector<ChunkPlace>> path;         // [micro-batch]: forwards; backwards go back
  std::vector<std::vector<PipelineAction>> actions;  // [stage], in the order in which they run

  [[nodiscard]] int stages() const { return static_cast<int>(actions.size()); }
  [[nodiscard]] int micro_batches() const { return static_cast<int>(path.size()); }
};

struct PipelineShape {
  int stages = 1;
  int chunks = 1;  // virtual stages of each stage (vpp)
  int micro_batches = 1;
  // Pair forwards with backwards in the steady state (PipelineAction::beside_next), with as many
  // more forwards first as that takes. 1f1b and interleaved; dualpipe always does.
  bool pairs = false;
  // `paths` alone: the stages that each micro-batch visits; empty: all of them.
  std::vector<std::vector<std::int32_t>> paths = {};
};

struct ActionPlace {
  std::int32_t stage = 0;
  std::int32_t index = 0;  // into PipelineSchedule::actions[stage]

  friend bool operator==(const ActionPlace&, const ActionPlace&) = default;
};

// What an action waits for besides the action before it on its stage.
struct PassSource {
  ActionPlace place;
  bool crosses = false;  // from another stage: sent over
};

// Of every action ([stage][index]): the pass whose result it works on; none for the first forward.
// A forward needs the forward of the place before, a backward the backward of the place behind (at
// the end of the path the forward there), weight gradients the input gradients of their place.
using PassSources = std::vector<std::vector<std::optional<PassSource>>>;

// Throws InvariantError unless every micro-batch runs forwards once and backwards once (or input
// and weight gradients once each) at every place of its path, stages and chunks exist and hold
// parts, pairs are a forward and a backward, and the orders of all stages together cannot deadlock
// (the two of a pair start together).
void check_pipeline(const PipelineSchedule& schedule);
// Throws InvariantError where a source is missing.
PassSources pass_sources(const PipelineSchedule& schedule);
// All actions in an order in which each comes behind its source and the action before it on its
// stage. Throws InvariantError for a deadlock.
std::vector<ActionPlace> pipeline_order(const PipelineSchedule& schedule,
                                        const PassSources& sources);
// By stage: the most micro-batches' activations of one chunk that are kept at once, from the start
// of their forward to the end of their backward or weight gradients.
std::vector<int> kept_activations(const PipelineSchedule& schedule);

struct PipelineEntry {
  std::string_view name;
  std::string_view summary;
  // Throws ConfigError(where, ...) for shapes that the schedule does not have.
  PipelineSchedule (*make)(const PipelineShape&, const std::string& where) = nullptr;
};

// Every pipeline schedule, in the order in which they are documented.
std::span<const PipelineEntry> pipeline_schedules();
// Throws ConfigError(where, ...) that lists the names.
const PipelineEntry& find_pipeline(std::string_view name, const std::string& where);

}  // namespace moesim
