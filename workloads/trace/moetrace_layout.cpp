#include "workloads/trace/moetrace_layout.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim::detail {
namespace {

constexpr std::array<std::uint8_t, 8> magic{'M', 'O', 'E', 'T', 'R', 'A', 'C', 'E'};
constexpr std::uint8_t flag_ranked = 1;
constexpr std::uint8_t flag_layer_pairs = 2;

// Offsets of the header's fields.
enum Field : std::uint64_t {
  at_version = 8,
  at_kind = 10,
  at_id_bytes = 11,
  at_layers = 12,
  at_experts = 14,
  at_top_k = 16,
  at_weights = 18,
  at_flags = 19,
  at_chunk_items = 20,
  at_items = 24,
  at_directory = 32,
  at_chunks = 40,
  at_metadata_bytes = 44,
  at_metadata_crc = 48,
  at_directory_crc = 52,
  at_reserved = 56,
  at_header_crc = 60,
};

std::uint8_t stored_id_bytes(const TraceShape& shape) {
  return shape.kind == TraceKind::loads ? std::uint8_t{4}
                                        : static_cast<std::uint8_t>(id_bytes(shape));
}

}  // namespace

std::uint32_t crc_of(std::span<const std::uint8_t> bytes) {
  auto crc = crc32(0, nullptr, 0);
  while (!bytes.empty()) {
    const auto part = std::min<std::size_t>(bytes.size(), std::size_t{1} << 30);
    crc = crc32(crc, bytes.data(), static_cast<uInt>(part));
    bytes = bytes.subspan(part);
  }
  return static_cast<std::uint32_t>(crc);
}

ChunkLayout chunk_layout(const TraceShape& shape, std::uint64_t items) {
  const auto layers = static_cast<std::uint64_t>(shape.layers);
  const auto experts = static_cast<std::uint64_t>(shape.experts);
  ChunkLayout layout;
  if (shape.kind == TraceKind::loads) {
    layout.counts = k_alignment;  // after the window's token count
    layout.pairs = layout.counts + aligned(layers * experts * 4);
    layout.bytes =
        layout.pairs + (shape.layer_pairs ? aligned((layers - 1) * experts * experts * 4) : 0);
    return layout;
  }
  const std::uint64_t slots = layers * static_cast<std::uint64_t>(shape.top_k) * items;
  const std::uint64_t weight_bytes =
      shape.weights == WeightCoding::none ? 0 : (shape.weights == WeightCoding::u8 ? 1 : 4);
  layout.weights = aligned(slots * id_bytes(shape));
  layout.token_id = layout.weights + aligned(slots * weight_bytes);
  layout.request = layout.token_id + aligned(items * 4);
  layout.position = layout.request + aligned(items * 4);
  layout.phase = layout.position + aligned(items * 4);
  layout.bytes = layout.phase + aligned(items);
  return layout;
}

std::string shape_problem(const TraceShape& shape) {
  if (shape.layers < 1 || shape.layers > k_max_layers) {
    return std::to_string(shape.layers) + " layers; 1 to " + std::to_string(k_max_layers) +
           " are possible";
  }
  if (shape.experts < 1 || shape.experts > k_max_experts) {
    return std::to_string(shape.experts) + " experts; 1 to " + std::to_string(k_max_experts) +
           " are possible";
  }
  if (shape.top_k < 1 || shape.top_k > std::min(shape.experts, k_max_top_k)) {
    return "top_k " + std::to_string(shape.top_k) + " of " + std::to_string(shape.experts) +
           " experts; 1 to min(experts, " + std::to_string(k_max_top_k) + ") are possible";
  }
  if (shape.kind == TraceKind::loads && (shape.ranked || shape.weights != WeightCoding::none)) {
    return "a load trace has neither ranks nor gate weights";
  }
  if (shape.kind == TraceKind::tokens && shape.layer_pairs) {
    return "a token trace has no layer-pair counts";
  }
  return {};
}

std::array<std::uint8_t, k_header_bytes> encode(const TraceHeader& header) {
  std::array<std::uint8_t, k_header_bytes> bytes{};
  std::ranges::copy(magic, bytes.begin());
  const TraceShape& shape = header.shape;
  store(bytes, at_version, k_trace_version);
  store(bytes, at_kind, static_cast<std::uint8_t>(shape.kind));
  store(bytes, at_id_bytes, stored_id_bytes(shape));
  store(bytes, at_layers, static_cast<std::uint16_t>(shape.layers));
  store(bytes, at_experts, static_cast<std::uint16_t>(shape.experts));
  store(bytes, at_top_k, static_cast<std::uint16_t>(shape.top_k));
  store(bytes, at_weights, static_cast<std::uint8_t>(shape.weights));
  store(bytes, at_flags,
        static_cast<std::uint8_t>((shape.ranked ? flag_ranked : 0) |
                                  (shape.layer_pairs ? flag_layer_pairs : 0)));
  store(bytes, at_chunk_items, header.chunk_items);
  store(bytes, at_items, header.items);
  store(bytes, at_directory, header.directory_offset);
  store(bytes, at_chunks, header.chunks);
  store(bytes, at_metadata_bytes, header.metadata_bytes);
  store(bytes, at_metadata_crc, header.metadata_crc);
  store(bytes, at_directory_crc, header.directory_crc);
  store(bytes, at_header_crc, crc_of(std::span(bytes).first(at_header_crc)));
  return bytes;
}

TraceHeader decode_header(std::span<const std::uint8_t> bytes, const std::string& name) {
  const std::string where = name + ", header";
  if (bytes.size() < k_header_bytes) {
    throw ConfigError(where, "only " + std::to_string(bytes.size()) +
                                 " bytes; a trace begins with a header of 64");
  }
  if (!std::ranges::equal(bytes.first(magic.size()), magic)) {
    throw ConfigError(where, "does not begin with MOETRACE; this is not a routing trace");
  }
  if (load<std::uint32_t>(bytes, at_header_crc) != crc_of(bytes.first(at_header_crc))) {
    throw ConfigError(where, "checksum mismatch; the file is damaged, get or write it again");
  }
  const auto version = load<std::uint16_t>(bytes, at_version);
  if (version != k_trace_version) {
    throw ConfigError(where, "format version " + std::to_string(version) + "; this program reads " +
                                 std::to_string(k_trace_version));
  }
  const auto kind = load<std::uint8_t>(bytes, at_kind);
  const auto weights = load<std::uint8_t>(bytes, at_weights);
  const auto flags = load<std::uint8_t>(bytes, at_flags);
  if (kind < 1 || kind > 2 || weights > 2 || flags > (flag_ranked | flag_layer_pairs) ||
      load<std::uint32_t>(bytes, at_reserved) != 0) {
    throw ConfigError(where, "unknown kind, weight coding or flag; written by a newer program?");
  }
  TraceHeader header;
  header.shape = {.kind = static_cast<TraceKind>(kind),
                  .layers = load<std::uint16_t>(bytes, at_layers),
                  .experts = load<std::uint16_t>(bytes, at_experts),
                  .top_k = load<std::uint16_t>(bytes, at_top_k),
                  .ranked = (flags & flag_ranked) != 0,
                  .layer_pairs = (flags & flag_layer_pairs) != 0,
                  .weights = static_cast<WeightCoding>(weights)};
  if (const auto problem = shape_problem(header.shape); !problem.empty()) {
    throw ConfigError(where, problem);
  }
  if (load<std::uint8_t>(bytes, at_id_bytes) != stored_id_bytes(header.shape)) {
    throw ConfigError(where, "the width of ids does not suit the number of experts");
  }
  header.chunk_items = load<std::uint32_t>(bytes, at_chunk_items);
  header.items = load<std::uint64_t>(bytes, at_items);
  header.directory_offset = load<std::uint64_t>(bytes, at_directory);
  header.chunks = load<std::uint32_t>(bytes, at_chunks);
  header.metadata_bytes = load<std::uint32_t>(bytes, at_metadata_bytes);
  header.metadata_crc = load<std::uint32_t>(bytes, at_metadata_crc);
  header.directory_crc = load<std::uint32_t>(bytes, at_directory_crc);
  return header;
}

void encode(const DirectoryEntry& entry, std::span<std::uint8_t> bytes) {
  store(bytes, 0, entry.offset);
  store(bytes, 8, entry.bytes);
  store(bytes, 16, entry.first_item);
  store(bytes, 24, entry.items);
  store(bytes, 28, entry.crc);
}

DirectoryEntry decode_entry(std::span<const std::uint8_t> bytes) {
  return {.offset = load<std::uint64_t>(bytes, 0),
          .bytes = load<std::uint64_t>(bytes, 8),
          .first_item = load<std::uint64_t>(bytes, 16),
          .items = load<std::uint32_t>(bytes, 24),
          .crc = load<std::uint32_t>(bytes, 28)};
}

std::string metadata_text(const TraceMetadata& metadata) {
  nlohmann::json json = {{"model", metadata.model},
                         {"source", metadata.source},
                         {"first_layer", metadata.first_layer}};
  if (!metadata.windows.empty()) {
    json["windows"] = metadata.windows;
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

TraceMetadata parse_metadata(std::string_view text, const std::string& where) {
  const auto json = parse_json(text, where);
  ConfigObject object(json, where + "#");
  TraceMetadata metadata{
      .model = object.text("model"),
      .source = object.text("source"),
      .first_layer = static_cast<int>(object.integer("first_layer", 0, k_max_layers)),
      .windows = {}};
  if (object.has("windows")) {
    metadata.windows = object.texts("windows");
  }
  object.reject_unknown_keys();
  return metadata;
}

}  // namespace moesim::detail
