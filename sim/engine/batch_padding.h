// Steps that engines capture as CUDA graphs run at the sizes that were captured: a decode batch is
// padded to the next one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/step_batch.h"

namespace moesim {

// Numbers of sequences per rank that an engine captures by default.
struct CaptureList {
  std::string_view name;  // of the engine, as kernel profiles name it
  std::vector<std::int64_t> sizes;
  std::string_view source;
};
const std::vector<CaptureList>& capture_lists();
// nullptr if no engine of that name is known.
const CaptureList* find_capture_list(std::string_view name);

// policy.batch_padding: a list's name, "none", or sizes of one's own.
struct BatchPadding {
  std::string name = "none";        // "sizes" where they are the scenario's
  std::vector<std::int64_t> sizes;  // ascending; empty: no padding

  // The least captured size for so many sequences; `sequences` itself beyond the largest, which no
  // graph was captured for.
  [[nodiscard]] std::int64_t padded(std::int64_t sequences) const;
};

// The rank's batch filled up to the captured size with sequences of no past and as many new tokens
// as its first class has. Ranks that have prompts, or nothing, stay as they are.
RankBatch padded(const RankBatch& batch, const BatchPadding& padding);

}  // namespace moesim
