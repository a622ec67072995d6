#include "sim/engine/batch_padding.h"

#include <algorithm>

namespace moesim {
namespace {

// [from, to] in steps, behind what there is.
void add_range(std::vector<std::int64_t>& sizes, std::int64_t from, std::int64_t to,
               std::int64_t step) {
  for (std::int64_t size = from; size <= to; size += step) {
    sizes.push_back(size);
  }
}

CaptureList vllm() {
  CaptureList list{
      "vllm",
      {1, 2, 4},
      "vllm VllmConfig, default cudagraph_capture_sizes up to 512, as code that uses vllm "
      "quotes it (2026)"};
  add_range(list.sizes, 8, 248, 8);
  add_range(list.sizes, 256, 512, 16);
  return list;
}

CaptureList sglang() {
  CaptureList list{"sglang",
                   {1, 2, 4, 8, 12},
                   "sglang server_args, default cuda_graph_bs up to 512 requests (2026)"};
  add_range(list.sizes, 16, 256, 8);
  add_range(list.sizes, 272, 496, 16);
  list.sizes.push_back(512);
  return list;
}

CaptureList trtllm() {
  CaptureList list{
      "trtllm",
      {1, 2, 4},
      "TensorRT-LLM CudaGraphConfig, batch sizes with enable_padding up to 2048 (2026)"};
  add_range(list.sizes, 8, 128, 8);
  add_range(list.sizes, 192, 2048, 64);
  return list;
}

}  // namespace

const std::vector<CaptureList>& capture_lists() {
  static const std::vector<CaptureList> lists{sglang(), trtllm(), vllm()};
  return lists;
}

const CaptureList* find_capture_list(std::string_view name) {
  const auto& lists = capture_lists();
  const auto found = std::ranges::find(lists, name, &CaptureList::name);
  return found == lists.end() ? nullptr : &*found;
}

std::int64_t BatchPadding::padded(std::int64_t sequences) const {
  const auto size = std::ranges::lower_bound(sizes, sequences);
  return size == sizes.end() ? sequences : *size;
}

RankBatch padded(const RankBatch& batch, const BatchPadding& padding) {
  const std::int64_t sequences = batch.count();
  if (sequences == 0 || batch.prefill_tokens() > 0) {
    return batch;
  }
  const std::int64_t more = padding.padded(sequences) - sequences;
  RankBatch result = batch;
  if (more > 0) {
    const std::int64_t tokens = batch.sequences.front().new_tokens;
    result.sequences.push_back(
        {.phase = Phase::decode, .count = more, .new_tokens = tokens, .context = tokens});
  }
  return result;
}

}  // namespace moesim
