// Turns bytes into a TraceView, or refuses them. Nothing is allocated before the file's own size
// has confirmed it.
#include <algorithm>

#include "sim/core/error.h"
#include "workloads/trace/moetrace_layout.h"

namespace moesim {
namespace {

using namespace detail;

void require(bool condition, const std::string& where, const std::string& what) {
  if (!condition) {
    throw ConfigError(where, what);
  }
}

bool all_zero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

TraceMetadata checked_metadata(std::span<const std::uint8_t> bytes, const TraceHeader& header,
                               const std::string& name) {
  const std::string where = name + ", metadata";
  require(header.metadata_bytes <= k_max_metadata_bytes &&
              aligned(header.metadata_bytes) <= bytes.size() - k_header_bytes,
          where, "the file ends inside the metadata; it is truncated");
  const auto text = bytes.subspan(k_header_bytes, header.metadata_bytes);
  require(crc_of(text) == header.metadata_crc, where, "checksum mismatch; the file is damaged");
  require(all_zero(bytes.subspan(k_header_bytes + header.metadata_bytes,
                                 aligned(header.metadata_bytes) - header.metadata_bytes)),
          where, "padding is not zero; the file is damaged");
  return parse_metadata({reinterpret_cast<const char*>(text.data()), text.size()}, where);
}

// The bytes of the directory, whose length must end the file.
std::span<const std::uint8_t> checked_directory(std::span<const std::uint8_t> bytes,
                                                const TraceHeader& header,
                                                const std::string& name) {
  const std::string where = name + ", directory";
  const std::uint64_t size = std::uint64_t{header.chunks} * k_directory_entry_bytes;
  require(header.directory_offset <= bytes.size() && size <= bytes.size() - header.directory_offset,
          where,
          "the file has " + std::to_string(bytes.size()) + " bytes but its header tells of " +
              std::to_string(header.chunks) +
              " chunks and a directory behind them; it is truncated");
  require(bytes.size() - header.directory_offset == size, where,
          "bytes follow the directory; the file is damaged");
  const auto directory = bytes.subspan(header.directory_offset);
  require(crc_of(directory) == header.directory_crc, where,
          "checksum mismatch; the file is damaged");
  return directory;
}

void check_counts(const TraceHeader& header, const std::string& where) {
  const std::uint64_t per_chunk = header.chunk_items;
  const bool possible =
      header.shape.kind == TraceKind::loads ? per_chunk == 1 : per_chunk >= 1 && per_chunk <= 65536;
  require(possible, where, "impossible number of items per chunk");
  require(header.items <= std::uint64_t{header.chunks} * per_chunk &&
              (header.items + per_chunk - 1) / per_chunk == header.chunks,
          where, "number of items and number of chunks do not agree");
}

}  // namespace

TraceView::TraceView(std::span<const std::uint8_t> bytes, const std::string& name,
                     const Progress& progress) {
  const TraceHeader header = decode_header(bytes, name);
  check_counts(header, name + ", header");
  shape_ = header.shape;
  metadata_ = checked_metadata(bytes, header, name);
  const auto directory = checked_directory(bytes, header, name);
  items_ = static_cast<std::int64_t>(header.items);
  chunk_items_ = static_cast<std::int64_t>(header.chunk_items);
  std::uint64_t offset = k_header_bytes + aligned(header.metadata_bytes);
  std::uint64_t first = 0;
  chunks_.reserve(header.chunks);
  for (std::uint32_t c = 0; c < header.chunks; ++c) {
    const std::string where = name + ", chunk " + std::to_string(c);
    const auto entry = decode_entry(directory.subspan(c * k_directory_entry_bytes));
    const auto items = std::min<std::uint64_t>(header.chunk_items, header.items - first);
    require(entry.items == items && entry.first_item == first, where,
            "the directory's token numbers do not follow each other");
    require(entry.offset == offset && entry.bytes == chunk_layout(shape_, items).bytes &&
                entry.bytes <= header.directory_offset - offset,
            where, "does not lie where its size and its predecessors put it");
    const Chunk chunk{.bytes = bytes.subspan(offset, entry.bytes),
                      .first = static_cast<std::int64_t>(first),
                      .items = static_cast<std::int64_t>(items)};
    require(crc_of(chunk.bytes) == entry.crc, where, "checksum mismatch; the file is damaged");
    if (shape_.kind == TraceKind::tokens) {
      check_token_chunk(chunk, where);
    }
    chunks_.push_back(chunk);
    offset += entry.bytes;
    first += items;
    if (progress) {
      progress(static_cast<double>(c + 1) / header.chunks);
    }
  }
  require(offset == header.directory_offset, name + ", directory",
          "does not begin where the last chunk ends");
}

// A sound checksum only says that the bytes are the writer's; these are what readers rely on.
void TraceView::check_token_chunk(const Chunk& chunk, const std::string& where) const {
  const std::int64_t rows = shape_.layers * chunk.items;
  std::vector<std::int64_t> last_row_with(static_cast<std::size_t>(shape_.experts), -1);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t k = 0; k < shape_.top_k; ++k) {
      const std::size_t expert = id(chunk, 0, row, k);
      require(expert < last_row_with.size() && last_row_with[expert] != row, where,
              "expert " + std::to_string(expert) + " is out of range or chosen twice by token " +
                  std::to_string(row % chunk.items) + " in layer " +
                  std::to_string(row / chunk.items));
      last_row_with[expert] = row;
    }
  }
  const auto phases =
      chunk.bytes.subspan(chunk_layout(shape_, static_cast<std::uint64_t>(chunk.items)).phase,
                          static_cast<std::size_t>(chunk.items));
  require(std::ranges::all_of(phases, [](std::uint8_t phase) { return phase <= 1; }), where,
          "a token is neither prefill nor decode");
}

void verify_trace(std::span<const std::uint8_t> bytes, const std::string& name) {
  const TraceView view(bytes, name);
}

}  // namespace moesim
