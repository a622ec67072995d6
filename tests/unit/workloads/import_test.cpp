#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "trace_support.h"
#include "workloads/import/importers.h"
#include "workloads/trace/trace_tools.h"

namespace moesim {
namespace {

using namespace moesim::test;
using Catch::Matchers::Contains;

constexpr std::size_t token_bytes = 26 * 6;

// Two prompts of 2 and 1 tokens; token t chooses experts (t + l + k) mod 64 in layer l.
struct MoeBeyond {
  std::string experts;
  std::string types;
  std::string index = "prompt_id,first_token,num_tokens\n7,0,2\n9,2,1\n";

  MoeBeyond() {
    for (int t = 0; t < 3; ++t) {
      for (int l = 0; l < 26; ++l) {
        for (int k = 0; k < 6; ++k) {
          experts += static_cast<char>((t + l + k) % 64);
        }
      }
      types += static_cast<char>(t);
      types += '\1';
    }
  }
  void write(const TempFolder& folder) const {
    write_bytes(folder.file("d/experts.u8"), experts);
    write_bytes(folder.file("d/token_type.u16"), types);
    write_bytes(folder.file("d/index.csv"), index);
  }
};

std::string import_error(const std::string& family, const std::string& path,
                         const TempFolder& folder) {
  try {
    import_trace(family, path, folder.file("out.moetrace"));
  } catch (const ConfigError& error) {
    CHECK_FALSE(std::filesystem::exists(folder.file("out.moetrace")));
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("DeepSeek-V2-Lite tokens keep layer, request, position and id", "[workloads][unit]") {
  const TempFolder folder;
  MoeBeyond().write(folder);
  import_trace("moe_beyond_deepseek_v2_lite", folder.file("d"), folder.file("out.moetrace"));
  const TraceFile file(folder.file("out.moetrace"));
  const auto tokens = file.view().all();
  CHECK(file.view().metadata().first_layer == 1);
  CHECK(tokens.layers == 26);
  CHECK_FALSE(tokens.ranked);
  CHECK(tokens.request == std::vector<std::uint32_t>{7, 7, 9});
  CHECK(tokens.position == std::vector<std::uint32_t>{0, 1, 0});
  CHECK(tokens.token_id == std::vector<std::uint32_t>{256, 257, 258});
  // Layer 25 of token 1: 1 + 25 + k.
  const auto ids = tokens.layer(25).subspan(6, 6);
  CHECK(std::vector<int>(ids.begin(), ids.end()) == std::vector<int>{26, 27, 28, 29, 30, 31});
}

TEST_CASE("damaged DeepSeek-V2-Lite data is refused with file and place", "[workloads][unit]") {
  const TempFolder folder;
  MoeBeyond data;
  const std::string family = "moe_beyond_deepseek_v2_lite";
  SECTION("missing") {
    CHECK_THAT(import_error(family, folder.file("none"), folder), Contains("experts.u8"));
  }
  SECTION("size of ids") {
    data.experts.pop_back();
    data.write(folder);
    CHECK_THAT(import_error(family, folder.file("d"), folder),
               Contains("experts.u8: 467 bytes") && Contains("156"));
  }
  SECTION("size of token types") {
    data.types.pop_back();
    data.write(folder);
    CHECK_THAT(import_error(family, folder.file("d"), folder), Contains("token_type.u16: 5 bytes"));
  }
  SECTION("id out of range") {
    data.experts[token_bytes + 5] = 64;
    data.write(folder);
    CHECK_THAT(import_error(family, folder.file("d"), folder),
               Contains("experts.u8, byte 161: expert id 64"));
  }
  SECTION("gap between prompts") {
    data.index = "prompt_id,first_token,num_tokens\n7,0,1\n9,2,1\n";
    data.write(folder);
    CHECK_THAT(import_error(family, folder.file("d"), folder), Contains("index.csv:3"));
  }
  SECTION("prompts end early") {
    data.index = "prompt_id,first_token,num_tokens\n7,0,2\n";
    data.write(folder);
    CHECK_THAT(import_error(family, folder.file("d"), folder), Contains("describes 2 tokens"));
  }
  SECTION("not a number") {
    data.index = "prompt_id,first_token,num_tokens\n7,zero,2\n";
    data.write(folder);
    CHECK_THAT(import_error(family, folder.file("d"), folder),
               Contains("index.csv:2:first_token: \"zero\""));
  }
}

TEST_CASE("popularity files become windows", "[workloads][unit]") {
  const TempFolder folder;
  write_bytes(folder.file("d/b/y.json"),
              R"({"total_input_tokens": 3, "expert_popularity": [[1, 2, 3], [4, 0, 2]]})");
  write_bytes(folder.file("d/a/x.json"),
              R"({"total_input_tokens": 1, "expert_popularity": [[2, 1, 1], [1, 1, 2]]})");
  import_trace("fiddler_mixtral_popularity", folder.file("d"), folder.file("out.moetrace"));
  const TraceFile file(folder.file("out.moetrace"));
  const auto loads = file.view().loads();
  REQUIRE(loads.windows.size() == 2);
  CHECK(loads.metadata.windows == std::vector<std::string>{"a/x", "b/y"});
  CHECK(loads.windows[1].tokens == 3);  // 6 selections of 2 per token
  CHECK(loads.windows[1].counts == std::vector<std::uint32_t>{1, 2, 3, 4, 0, 2});
}

TEST_CASE("wrong popularity files are refused with file and row", "[workloads][unit]") {
  const TempFolder folder;
  const std::string text = GENERATE(
      R"({"total_input_tokens": 3, "expert_popularity": [[1, 2, 3], [4, 0, 4]]})",   // other sum
      R"({"total_input_tokens": 3, "expert_popularity": [[1, 2, 3], [4, 2]]})",      // ragged
      R"({"total_input_tokens": 3, "expert_popularity": [[1, 2, 3], [4, -1, 3]]})",  // negative
      R"({"total_input_tokens": 3, "expert_popularity": [[1, 2, 3], [4, 1e300, 3]]})");
  write_bytes(folder.file("d/x.json"), text);
  CHECK_THAT(import_error("fiddler_mixtral_popularity", folder.file("d/x.json"), folder),
             Contains("x.json#/expert_popularity/1"));
}

TEST_CASE("one-layer logs keep ids and weights", "[workloads][unit]") {
  const TempFolder folder;
  write_bytes(folder.file("mixtral_b64_iter008_layer010.csv"), "e0,e1\n6,2\n7,4\n");
  import_trace("step_batches", folder.file("mixtral_b64_iter008_layer010.csv"),
               folder.file("s.moetrace"));
  CHECK(trace_info(folder.file("s.moetrace")).metadata.first_layer == 10);
  CHECK(TraceFile(folder.file("s.moetrace")).view().all().ids ==
        std::vector<std::uint16_t>{6, 2, 7, 4});

  write_bytes(folder.file("olmoe_1b_7b_x.csv"),
              "call,token_in_call,layer,e0,e1,w0,w1\n0,0,0,45,57,0.25,0.125\n5,1,0,3,2,0.5,0.25\n");
  import_trace("vllm_layer0_route_logs", folder.file("olmoe_1b_7b_x.csv"),
               folder.file("v.moetrace"));
  const auto tokens = TraceFile(folder.file("v.moetrace")).view().all();
  CHECK(tokens.ranked);
  CHECK(tokens.request == std::vector<std::uint32_t>{0, 5});
  CHECK(tokens.position == std::vector<std::uint32_t>{0, 1});
  CHECK(tokens.weights == std::vector<float>{0.25F, 0.125F, 0.5F, 0.25F});

  write_bytes(folder.file("qwen_b64_iter1_layer1.csv"), "e0,e1\n6,2\n7,128\n");
  CHECK_THAT(import_error("step_batches", folder.file("qwen_b64_iter1_layer1.csv"), folder),
             Contains("layer1.csv:3:e1"));
  // Without a header the first row would be lost.
  write_bytes(folder.file("qwen_b64_iter1_layer2.csv"), "6,2\n7,4\n");
  CHECK_THAT(import_error("step_batches", folder.file("qwen_b64_iter1_layer2.csv"), folder),
             Contains("layer2.csv: the header is 6, 2; this layout has e0, e1"));
  write_bytes(folder.file("olmoe_1b_7b_y.csv"), "call,layer,token_in_call,e0,w0\n0,0,0,45,0.25\n");
  CHECK_THAT(import_error("vllm_layer0_route_logs", folder.file("olmoe_1b_7b_y.csv"), folder),
             Contains("this layout has call, token_in_call, layer, e0, w0"));
  CHECK_THAT(import_error("step_batches", folder.file("other.csv"), folder),
             Contains("does not tell model and layer"));
}

TEST_CASE("an unknown family lists the known ones", "[workloads][unit]") {
  for (const auto& importer : trace_importers()) {
    CHECK_THROWS_WITH(import_trace("x", "y", "z"), Contains(std::string(importer.family)));
  }
}

}  // namespace moesim
