#include <catch2/catch.hpp>
#include <set>

#include "sim/core/error.h"
#include "trace_support.h"
#include "workloads/trace/moetrace_layout.h"

namespace moesim {
namespace {

using namespace moesim::test;
using Catch::Matchers::Contains;

std::string refusal(const std::vector<std::uint8_t>& bytes) {
  try {
    verify_trace(bytes, "t");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

// Makes header and directory checksums fit again after a deliberate change.
void reseal(std::vector<std::uint8_t>& bytes) {
  detail::store(std::span(bytes), 60, detail::crc_of(std::span(bytes).first(60)));
}

LoadTrace random_loads(std::uint64_t seed, bool pairs) {
  Rng rng = RngStreams(seed).stream("test/loads");
  LoadTrace trace;
  trace.shape = {.kind = TraceKind::loads,
                 .layers = 3,
                 .experts = 5,
                 .top_k = 2,
                 .ranked = false,
                 .layer_pairs = pairs};
  trace.metadata = {.model = "m", .source = "s", .first_layer = 2, .windows = {"a", "b", "c"}};
  for (int w = 0; w < 3; ++w) {
    LoadWindow window{.tokens = rng.below(1000), .counts = {}, .pairs = {}};
    for (int i = 0; i < 15; ++i) {
      window.counts.push_back(static_cast<std::uint32_t>(rng.bits()));
    }
    for (int i = 0; pairs && i < 2 * 25; ++i) {
      window.pairs.push_back(static_cast<std::uint32_t>(rng.bits()));
    }
    trace.windows.push_back(std::move(window));
  }
  return trace;
}

}  // namespace

TEST_CASE("a trace reads back as written", "[workloads][property]") {
  // u8 and u16 ids, every weight coding, one chunk, a full one, and several with a rest.
  const int experts = GENERATE(7, 256, 257, 700);
  const std::size_t count = GENERATE(std::size_t{1}, std::size_t{4096}, std::size_t{9000});
  const WeightCoding weights = GENERATE(WeightCoding::none, WeightCoding::u8, WeightCoding::f32);
  const TempFolder folder;
  const auto tokens = random_tokens(3, experts, 4, count, static_cast<std::uint64_t>(experts),
                                    weights != WeightCoding::none);
  CAPTURE(experts, count, static_cast<int>(weights));
  write_tokens(folder.file("a.moetrace"), tokens, weights, 5);
  const TraceFile file(folder.file("a.moetrace"));
  CHECK(file.view().items() == static_cast<std::int64_t>(count));
  CHECK(file.view().chunks() == static_cast<std::int64_t>((count + 4095) / 4096));
  CHECK(file.view().metadata().first_layer == 5);
  CHECK(same_tokens(file.view().all(), tokens));
}

TEST_CASE("how a trace was appended does not show in the file", "[workloads][unit]") {
  const TempFolder folder;
  const auto tokens = random_tokens(2, 300, 3, 5000, 4);
  write_tokens(folder.file("whole.moetrace"), tokens);
  const TraceFile whole(folder.file("whole.moetrace"));
  TraceWriter writer(folder.file("parts.moetrace"), shape_of(tokens, WeightCoding::none),
                     whole.view().metadata());
  for (std::int64_t first = 0; first < 5000; first += 700) {
    std::vector<std::int64_t> some(
        static_cast<std::size_t>(std::min<std::int64_t>(700, 5000 - first)));
    std::iota(some.begin(), some.end(), first);
    writer.append(whole.view().gather(some));
  }
  writer.finish();
  CHECK(read_bytes(folder.file("whole.moetrace")) == read_bytes(folder.file("parts.moetrace")));
}

TEST_CASE("the size of a trace is what the format says", "[workloads][unit]") {
  // 5 tokens, 2 layers, top 3 of 300: ids 2*5*3*2 B = 60 -> 64; no weights; three columns of
  // 5*4 B -> 64 each; phase 5 B -> 64: a chunk of 320 B. Header 64, metadata
  // {"first_layer":1,"model":"test","source":"random"} 50 B -> 64, directory 32 B: 480 B.
  const TempFolder folder;
  write_tokens(folder.file("a.moetrace"), random_tokens(2, 300, 3, 5, 0));
  CHECK(std::filesystem::file_size(folder.file("a.moetrace")) == 480);
}

TEST_CASE("any single changed byte is noticed", "[workloads][property]") {
  const TempFolder folder;
  write_tokens(folder.file("a.moetrace"), random_tokens(2, 60, 3, 4500, 1, true), WeightCoding::u8);
  auto bytes = read_bytes(folder.file("a.moetrace"));
  REQUIRE(refusal(bytes).empty());
  const auto header = detail::decode_header(bytes, "t");
  // All of header, metadata and directory; every 97th byte of the chunks.
  std::set<std::size_t> places;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i < 128 || i >= header.directory_offset || i % 97 == 0) {
      places.insert(i);
    }
  }
  const int bit = GENERATE(0, 7);
  std::size_t named = 0;
  for (const auto place : places) {
    bytes[place] ^= static_cast<std::uint8_t>(1 << bit);
    const std::string message = refusal(bytes);
    bytes[place] ^= static_cast<std::uint8_t>(1 << bit);
    if (message.empty()) {
      FAIL("byte " << place << " changed unnoticed");
    }
    named += message.starts_with("t, chunk 0") || message.starts_with("t, chunk 1") ? 1U : 0U;
  }
  CHECK(named > 300);  // damage in a chunk names the chunk
}

TEST_CASE("a truncated or extended trace is refused at any length", "[workloads][property]") {
  const TempFolder folder;
  write_tokens(folder.file("a.moetrace"), random_tokens(2, 60, 3, 5000, 1));
  const auto bytes = read_bytes(folder.file("a.moetrace"));
  for (std::size_t size = 0; size < bytes.size(); size += size < 300 ? 1 : 61) {
    CAPTURE(size);
    REQUIRE_FALSE(
        refusal({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)}).empty());
  }
  auto longer = bytes;
  longer.push_back(0);
  CHECK_THAT(refusal(longer), Contains("directory"));
}

TEST_CASE("sizes in the header are never trusted", "[workloads][unit]") {
  const TempFolder folder;
  write_tokens(folder.file("a.moetrace"), random_tokens(2, 60, 3, 50, 1));
  auto bytes = read_bytes(folder.file("a.moetrace"));
  const auto huge = GENERATE(std::uint64_t{0xFFFFFFFFFFFFFFFF}, std::uint64_t{1} << 62,
                             std::uint64_t{1} << 33, std::uint64_t{51});
  const std::uint64_t field = GENERATE(std::uint64_t{24}, std::uint64_t{32});
  detail::store(std::span(bytes), field, huge);
  reseal(bytes);
  CHECK_FALSE(refusal(bytes).empty());
}

TEST_CASE("an unknown version is named", "[workloads][unit]") {
  const TempFolder folder;
  write_tokens(folder.file("a.moetrace"), random_tokens(2, 60, 3, 50, 1));
  auto bytes = read_bytes(folder.file("a.moetrace"));
  detail::store(std::span(bytes), 8, std::uint16_t{9});
  reseal(bytes);
  CHECK(refusal(bytes) == "t, header: format version 9; this program reads 1");
  CHECK_THAT(refusal(std::vector<std::uint8_t>(100, 'x')), Contains("not a routing trace"));
}

TEST_CASE("sound checksums do not excuse wrong ids", "[workloads][unit]") {
  const TempFolder folder;
  write_tokens(folder.file("a.moetrace"), random_tokens(1, 60, 3, 50, 1));
  auto bytes = read_bytes(folder.file("a.moetrace"));
  auto header = detail::decode_header(bytes, "t");
  const std::size_t chunk = 128;
  bytes[chunk + 3] = GENERATE_COPY(std::uint8_t{60}, bytes[chunk + 4]);  // too large, or twice
  auto directory = std::span(bytes).subspan(header.directory_offset);
  auto entry = detail::decode_entry(directory);
  entry.crc = detail::crc_of(std::span(bytes).subspan(chunk, entry.bytes));
  detail::encode(entry, directory);
  header.directory_crc = detail::crc_of(directory);
  const auto head = detail::encode(header);
  std::copy(head.begin(), head.end(), bytes.begin());
  CHECK_THAT(refusal(bytes), Contains("t, chunk 0") && Contains("token 1 in layer 0"));
}

TEST_CASE("the writer refuses ids out of range or repeated", "[workloads][unit]") {
  const TempFolder folder;
  auto tokens = random_tokens(2, 60, 3, 10, 1);
  tokens.ids[4] = GENERATE_COPY(std::uint16_t{60}, tokens.ids[5]);
  {
    TraceWriter writer(folder.file("a.moetrace"), shape_of(tokens, WeightCoding::none), {});
    CHECK_THROWS_WITH(writer.append(tokens), Contains("token 1 of the block, layer 0"));
  }
  // Nothing half-written is left.
  CHECK(std::filesystem::is_empty(folder.file("")));
}

TEST_CASE("load matrices read back as written", "[workloads][unit]") {
  const bool pairs = GENERATE(false, true);
  const TempFolder folder;
  const auto trace = random_loads(3, pairs);
  write_load_trace(folder.file("l.moetrace"), trace);
  const TraceFile file(folder.file("l.moetrace"));
  const auto back = file.view().loads();
  REQUIRE(back.windows.size() == 3);
  CHECK(back.metadata.windows == trace.metadata.windows);
  for (std::size_t w = 0; w < 3; ++w) {
    CHECK(back.windows[w].tokens == trace.windows[w].tokens);
    CHECK(back.windows[w].counts == trace.windows[w].counts);
    CHECK(back.windows[w].pairs == trace.windows[w].pairs);
  }
  auto bytes = read_bytes(folder.file("l.moetrace"));
  bytes[200] ^= 1U;
  CHECK_THAT(refusal(bytes), Contains("t, chunk 0: checksum"));
}

TEST_CASE("a path that is no file is named", "[workloads][unit]") {
  const TempFolder folder;
  CHECK_THROWS_WITH(TraceFile(folder.file("none.moetrace")), Contains("none.moetrace: cannot be"));
  CHECK_THROWS_WITH(TraceFile(folder.file("")), Contains("cannot be read"));
  write_bytes(folder.file("empty.moetrace"), "");
  CHECK_THROWS_AS(TraceFile(folder.file("empty.moetrace")), ConfigError);
}

}  // namespace moesim
