// Streams chunks behind a place-holder header, then the directory, and the header at last.
#include <cmath>
#include <limits>
#include <optional>

#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "workloads/trace/moetrace_layout.h"

namespace moesim {
namespace {

using namespace detail;

std::string_view text_of(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The file has its name after finish() only.
class TraceOutput {
 public:
  TraceOutput(const std::string& path, const TraceShape& shape, const TraceMetadata& metadata,
              std::uint32_t chunk_items)
      : path_(path) {
    if (const auto problem = shape_problem(shape); !problem.empty()) {
      throw ConfigError(path, problem);
    }
    file_.emplace(path, OutputFile::Order::rewritten);
    const std::string text = metadata_text(metadata);
    const std::span metadata_bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    ensure(text.size() <= k_max_metadata_bytes, "metadata of a trace is small");
    header_.shape = shape;
    header_.chunk_items = chunk_items;
    header_.metadata_bytes = static_cast<std::uint32_t>(text.size());
    header_.metadata_crc = crc_of(metadata_bytes);
    put(std::vector<std::uint8_t>(k_header_bytes));
    std::vector<std::uint8_t> padded(metadata_bytes.begin(), metadata_bytes.end());
    padded.resize(aligned(padded.size()));
    put(padded);
  }

  [[nodiscard]] const TraceShape& shape() const { return header_.shape; }
  [[nodiscard]] const std::string& path() const { return path_; }

  void put_chunk(std::span<const std::uint8_t> bytes, std::uint32_t items) {
    directory_.push_back({.offset = at_,
                          .bytes = bytes.size(),
                          .first_item = header_.items,
                          .items = items,
                          .crc = crc_of(bytes)});
    put(bytes);
    header_.items += items;
  }

  void finish() {
    std::vector<std::uint8_t> directory(directory_.size() * k_directory_entry_bytes);
    for (std::size_t i = 0; i < directory_.size(); ++i) {
      encode(directory_[i], std::span(directory).subspan(i * k_directory_entry_bytes));
    }
    header_.directory_offset = at_;
    header_.chunks = static_cast<std::uint32_t>(directory_.size());
    header_.directory_crc = crc_of(directory);
    put(directory);
    file_->rewrite(0, text_of(encode(header_)));
    file_->finish();
  }

 private:
  void put(std::span<const std::uint8_t> bytes) {
    file_->write(text_of(bytes));
    at_ += bytes.size();
  }

  std::string path_;
  std::optional<OutputFile> file_;
  TraceHeader header_;
  std::vector<DirectoryEntry> directory_;
  std::uint64_t at_ = 0;
};

std::uint8_t quantised(float weight) {
  return static_cast<std::uint8_t>(std::lround(std::min(std::max(weight, 0.0F), 1.0F) * 255.0F));
}

}  // namespace

// The chunk that is being filled, laid out for a full one and compacted when written.
struct TraceWriter::State {
  State(const std::string& path, const TraceShape& shape, const TraceMetadata& metadata)
      : output(path, shape, metadata, static_cast<std::uint32_t>(k_trace_chunk_tokens)) {}

  void put_token(const RoutedTokens& from, std::size_t token);
  void put_ids(const RoutedTokens& from, std::size_t token);
  void flush();

  TraceOutput output;
  std::size_t filled = 0;
  std::vector<std::uint16_t> ids;  // [token][layer][k] of the open chunk
  std::vector<float> weights;
  std::vector<std::uint32_t> token_id;
  std::vector<std::uint32_t> request;
  std::vector<std::uint32_t> position;
  std::vector<std::uint8_t> phase;
  std::vector<std::int64_t> last_token_with;  // per expert: (token, layer) stamp
  std::int64_t stamp = 0;
};

void TraceWriter::State::put_ids(const RoutedTokens& from, std::size_t token) {
  const TraceShape& shape = output.shape();
  const auto top_k = static_cast<std::size_t>(shape.top_k);
  for (int l = 0; l < shape.layers; ++l) {
    ++stamp;
    const auto experts = from.layer(l).subspan(token * top_k, top_k);
    for (const auto expert : experts) {
      const auto problem = expert >= shape.experts            ? "is out of range"
                           : last_token_with[expert] == stamp ? "is chosen twice"
                                                              : nullptr;
      if (problem != nullptr) {
        throw ConfigError(output.path(), "token " + std::to_string(token) +
                                             " of the block, layer " + std::to_string(l) +
                                             ": expert " + std::to_string(expert) + " " + problem +
                                             "; ids are distinct and below " +
                                             std::to_string(shape.experts));
      }
      last_token_with[expert] = stamp;
    }
    ids.insert(ids.end(), experts.begin(), experts.end());
    if (shape.weights != WeightCoding::none) {
      const std::size_t at = (static_cast<std::size_t>(l) * from.request.size() + token) * top_k;
      const auto some = std::span(from.weights).subspan(at, top_k);
      weights.insert(weights.end(), some.begin(), some.end());
    }
  }
}

void TraceWriter::State::put_token(const RoutedTokens& from, std::size_t token) {
  put_ids(from, token);
  token_id.push_back(from.token_id[token]);
  request.push_back(from.request[token]);
  position.push_back(from.position[token]);
  phase.push_back(static_cast<std::uint8_t>(from.phase[token]));
  if (++filled == static_cast<std::size_t>(k_trace_chunk_tokens)) {
    flush();
  }
}

void TraceWriter::State::flush() {
  if (filled == 0) {
    return;
  }
  const TraceShape& shape = output.shape();
  const ChunkLayout layout = chunk_layout(shape, filled);
  std::vector<std::uint8_t> chunk(layout.bytes);
  const auto layers = static_cast<std::size_t>(shape.layers);
  const auto top_k = static_cast<std::size_t>(shape.top_k);
  for (std::size_t l = 0; l < layers; ++l) {
    for (std::size_t t = 0; t < filled; ++t) {
      for (std::size_t k = 0; k < top_k; ++k) {
        const std::size_t from = (t * layers + l) * top_k + k;
        const std::size_t to = (l * filled + t) * top_k + k;
        if (id_bytes(shape) == 1) {
          chunk[to] = static_cast<std::uint8_t>(ids[from]);
        } else {
          store(std::span(chunk), to * 2, ids[from]);
        }
        if (shape.weights == WeightCoding::u8) {
          chunk[layout.weights + to] = quantised(weights[from]);
        } else if (shape.weights == WeightCoding::f32) {
          store(std::span(chunk), layout.weights + to * 4, weights[from]);
        }
      }
    }
  }
  std::memcpy(chunk.data() + layout.token_id, token_id.data(), filled * 4);
  std::memcpy(chunk.data() + layout.request, request.data(), filled * 4);
  std::memcpy(chunk.data() + layout.position, position.data(), filled * 4);
  std::memcpy(chunk.data() + layout.phase, phase.data(), filled);
  output.put_chunk(chunk, static_cast<std::uint32_t>(filled));
  filled = 0;
  ids.clear();
  weights.clear();
  token_id.clear();
  request.clear();
  position.clear();
  phase.clear();
}

TraceWriter::TraceWriter(const std::string& path, const TraceShape& shape,
                         const TraceMetadata& metadata)
    : state_(std::make_unique<State>(path, shape, metadata)) {
  if (shape.kind != TraceKind::tokens) {
    throw ConfigError(path, "a load trace is written with write_load_trace");
  }
  state_->last_token_with.assign(static_cast<std::size_t>(shape.experts), -1);
}

TraceWriter::~TraceWriter() = default;

void TraceWriter::append(const RoutedTokens& tokens) {
  const TraceShape& shape = state_->output.shape();
  const std::size_t count = tokens.request.size();
  const std::size_t slots =
      static_cast<std::size_t>(shape.layers) * count * static_cast<std::size_t>(shape.top_k);
  if (tokens.layers != shape.layers || tokens.experts != shape.experts ||
      tokens.top_k != shape.top_k || tokens.ranked != shape.ranked) {
    throw ConfigError(state_->output.path(),
                      "the tokens' layers, experts, top_k or ranking differ "
                      "from the file's");
  }
  if (tokens.ids.size() != slots || tokens.token_id.size() != count ||
      tokens.position.size() != count || tokens.phase.size() != count ||
      (shape.weights != WeightCoding::none && tokens.weights.size() != slots)) {
    throw ConfigError(state_->output.path(), "the tokens' columns differ in length");
  }
  for (std::size_t t = 0; t < count; ++t) {
    state_->put_token(tokens, t);
  }
}

void TraceWriter::finish() {
  state_->flush();
  state_->output.finish();
}

void write_load_trace(const std::string& path, const LoadTrace& trace) {
  ensure(trace.shape.kind == TraceKind::loads, "write_load_trace writes load traces");
  TraceOutput output(path, trace.shape, trace.metadata, 1);
  const ChunkLayout layout = chunk_layout(trace.shape, 1);
  const auto counts =
      static_cast<std::size_t>(trace.shape.layers) * static_cast<std::size_t>(trace.shape.experts);
  const std::size_t pairs = trace.shape.layer_pairs
                                ? (counts - static_cast<std::size_t>(trace.shape.experts)) *
                                      static_cast<std::size_t>(trace.shape.experts)
                                : 0;
  for (const LoadWindow& window : trace.windows) {
    if (window.counts.size() != counts || window.pairs.size() != pairs) {
      throw ConfigError(path, "a window's counts do not have the shape of the trace");
    }
    std::vector<std::uint8_t> chunk(layout.bytes);
    store(std::span(chunk), 0, window.tokens);
    std::memcpy(chunk.data() + layout.counts, window.counts.data(), counts * 4);
    if (pairs > 0) {
      std::memcpy(chunk.data() + layout.pairs, window.pairs.data(), pairs * 4);
    }
    output.put_chunk(chunk, 1);
  }
  output.finish();
}

}  // namespace moesim
