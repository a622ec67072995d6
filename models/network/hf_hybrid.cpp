// State spaces beside attention: Nemotron-H and Nemotron-3, Granite-4, Jamba; Granite's and
// Databricks' MoE without.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/network/hf_reader.h"

namespace moesim::detail {
namespace {

using Json = nlohmann::json;

// Kinds of layers by letter: M Mamba-2, * attention, E experts, - dense FFN.
std::string pattern_of(HfReader& reader, std::string_view letters, std::string_view list,
                       std::string_view default_pattern) {
  std::string pattern;
  for (const std::string& type : reader.texts(list)) {
    if (type == "mamba" || type == "linear_attention") {
      pattern += 'M';
    } else if (type == "attention" || type == "full_attention") {
      pattern += '*';
    } else if (type == "moe") {
      pattern += 'E';
    } else if (type == "mlp") {
      pattern += '-';
    } else {
      reader.fail(list, "\"" + type + "\" is not one of: mamba, attention, moe, mlp");
    }
  }
  const std::string spelt = reader.text_or(letters, pattern.empty() ? default_pattern : "");
  if (pattern.empty()) {
    pattern = spelt;
  }
  if (pattern.empty() || pattern.size() > static_cast<std::size_t>(hf_most_layers) ||
      pattern.find_first_not_of("M*E-") != std::string::npos) {
    reader.fail(letters, "1 to 10000 letters of M, *, E and - are needed");
  }
  return pattern;
}

// A mixer and the FFN behind it are one block, with a norm before each.
template <class Mixer, class Ffn>
HfLayers blocks_of(const std::string& pattern, Mixer mixer, Ffn ffn) {
  HfLayers layers;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const bool mixes = pattern[i] == 'M' || pattern[i] == '*';
    Json block = {{"attention", mixes ? mixer(pattern[i]) : Json{{"kind", "none"}}},
                  {"ffn", Json::array()}};
    if (mixes && i + 1 < pattern.size() && (pattern[i + 1] == 'E' || pattern[i + 1] == '-')) {
      ++i;
    }
    if (pattern[i] == 'E' || pattern[i] == '-') {
      block["ffn"].push_back(ffn(pattern[i]));
    }
    layers.push_back(std::move(block));
  }
  return layers;
}

Json nemotron_experts(HfReader& reader) {
  Json sparse =
      hf_moe(reader.integer("n_routed_experts", hf_largest),
             reader.integer("moe_intermediate_size", hf_largest),
             {{"top_k", reader.integer("num_experts_per_tok", hf_largest)},
              {"groups", std::max<std::int64_t>(1, reader.integer_or("n_group", 1, hf_largest))},
              {"bias", true}});
  sparse["router"]["top_groups"] =
      std::min<std::int64_t>(sparse["router"]["groups"].get<std::int64_t>(),
                             reader.integer_or("topk_group", 1, hf_largest));
  sparse["experts"][0]["matrices"] = 2;
  const std::int64_t latent = reader.integer_or("moe_latent_size", 0, hf_largest);
  if (latent > 0) {
    sparse["latent_dim"] = latent;
  }
  const std::int64_t shared = reader.integer_or("n_shared_experts", 1, hf_largest);
  if (shared > 0) {
    sparse["shared"] =
        hf_shared(shared, reader.integer("moe_shared_expert_intermediate_size", hf_largest));
    sparse["shared"][0]["matrices"] = 2;
  }
  return sparse;
}

}  // namespace

// Squared ReLU: FFNs and experts have two matrices.
Json read_nemotron_h(HfReader& reader) {
  const std::string pattern =
      pattern_of(reader, "hybrid_override_pattern", "layers_block_type", "");
  if (reader.has("num_hidden_layers") &&
      hf_layer_count(reader) != static_cast<std::int64_t>(pattern.size())) {
    reader.fail("num_hidden_layers",
                "is not the length of the pattern, " + std::to_string(pattern.size()));
  }
  Json attention = {{"kind", "none"}};
  if (pattern.find('*') != std::string::npos) {
    attention = hf_gqa(reader, 8, 0);
    if (!reader.has("head_dim")) {
      attention["head_dim"] = reader.has("attention_head_dim")
                                  ? reader.integer("attention_head_dim", hf_largest)
                                  : reader.documented("head_dim", 128, hf_largest);
    }
    hf_attention_bias(reader, attention, true);
  }
  const bool bias =
      reader.boolean_or("use_bias", false) || reader.boolean_or("mamba_proj_bias", false);
  const Json mamba = {{"kind", "mamba"},
                      {"heads", reader.documented("mamba_num_heads", 128, hf_largest)},
                      {"head_dim", reader.documented("mamba_head_dim", 64, hf_largest)},
                      {"state_dim", reader.documented("ssm_state_size", 128, hf_largest)},
                      {"groups", reader.documented("n_groups", 8, hf_largest)},
                      {"conv_width", reader.documented("conv_kernel", 4, 64)},
                      {"conv_bias", reader.boolean_or("use_conv_bias", true)},
                      {"qkv_bias", bias},
                      {"output_bias", bias}};
  const std::string predicted =
      pattern_of(reader, "mtp_hybrid_override_pattern", "mtp_layers_block_type", "*E");
  const std::int64_t modules = reader.integer_or("num_nextn_predict_layers", 0, 64);
  Json sparse;
  Json dense;
  if (pattern.find('E') != std::string::npos) {
    sparse = nemotron_experts(reader);
  }
  if (pattern.find('-') != std::string::npos) {
    dense = hf_dense(reader.integer("intermediate_size", hf_largest), 2);
    dense["bias"] = reader.boolean_or("mlp_bias", false);
  }
  reader.ignore({"intermediate_size", "moe_intermediate_size", "n_routed_experts",
                 "moe_shared_expert_intermediate_size", "n_shared_experts", "n_group", "topk_group",
                 "num_experts_per_tok", "num_attention_heads", "num_key_value_heads", "head_dim",
                 "attention_head_dim", "attention_bias", "mlp_bias", "chunk_size", "time_step_rank",
                 "moe_latent_size", "mamba_chunk_size"});
  if (reader.integer_or("sliding_window", 0, hf_largest) > 0) {
    reader.fail("sliding_window", "windows are not read here");
  }
  const auto mixer = [&](char kind) { return kind == 'M' ? mamba : attention; };
  const auto ffn = [&](char kind) { return kind == 'E' ? sparse : dense; };
  Json document = hf_document(reader, false, blocks_of(pattern, mixer, ffn));
  if (modules > 0) {
    const bool known = predicted.find('E') == std::string::npos || !sparse.is_null();
    const HfLayers module = known && predicted.find('-') == std::string::npos &&
                                    predicted.find('*') != std::string::npos
                                ? blocks_of(predicted, mixer, ffn)
                                : HfLayers{};
    if (module.size() == 1 && attention["kind"] != "none") {
      hf_mtp(document, modules, module.front());
    } else {
      reader.note("prediction modules of the pattern \"" + predicted + "\" are left out");
    }
  }
  return document;
}

Json read_granite_moe(HfReader& reader) {
  Json attention = hf_gqa(reader, 0);
  hf_attention_bias(reader, attention, true);
  Json sparse = hf_moe(reader.integer("num_local_experts", hf_largest),
                       reader.integer("intermediate_size", hf_largest),
                       {{"top_k", reader.integer("num_experts_per_tok", hf_largest)}});
  const std::int64_t shared = reader.integer_or("shared_intermediate_size", 0, hf_largest);
  if (shared > 0) {
    sparse["shared"] = hf_shared(1, shared);
  }
  return hf_document(
      reader, false,
      HfLayers(static_cast<std::size_t>(hf_layer_count(reader)), hf_layer(attention, sparse)));
}

// Granite-4: Mamba-2 with attention in some layers; experts beside a dense FFN, or that alone.
Json read_granite_hybrid(HfReader& reader) {
  Json attention = hf_gqa(reader, 0);
  hf_attention_bias(reader, attention, true);
  const std::int64_t hidden = reader.integer("hidden_size", hf_largest);
  const std::int64_t heads = reader.documented("mamba_n_heads", 128, hf_largest);
  const std::int64_t expand = reader.documented("mamba_expand", 2, 64);
  const Json* head_dim = reader.raw("mamba_d_head");
  const bool given = head_dim != nullptr && *head_dim != "auto";
  const bool bias = reader.boolean_or("mamba_proj_bias", false);
  const Json mamba = {{"kind", "mamba"},
                      {"heads", heads},
                      {"head_dim", given ? reader.integer("mamba_d_head", hf_largest)
                                         : std::max<std::int64_t>(1, expand * hidden / heads)},
                      {"state_dim", reader.documented("mamba_d_state", 256, hf_largest)},
                      {"groups", reader.documented("mamba_n_groups", 1, hf_largest)},
                      {"conv_width", reader.documented("mamba_d_conv", 4, 64)},
                      {"conv_bias", reader.boolean_or("mamba_conv_bias", true)},
                      {"qkv_bias", bias},
                      {"output_bias", bias}};
  const Json shared = hf_dense(reader.integer("shared_intermediate_size", hf_largest));
  Json ffn = shared;
  if (const std::int64_t experts = reader.integer_or("num_local_experts", 0, hf_largest);
      experts > 0) {
    ffn = hf_moe(experts, reader.integer("intermediate_size", hf_largest),
                 {{"top_k", reader.integer("num_experts_per_tok", hf_largest)}});
    ffn["shared"] = hf_shared(1, shared["inter"].get<std::int64_t>());
  }
  reader.ignore({"intermediate_size", "num_experts_per_tok", "mamba_chunk_size"});
  const std::int64_t layers = hf_layer_count(reader);
  std::string_view key = reader.has("layers_block_type") ? "layers_block_type" : "layer_types";
  const std::vector<std::string> types = reader.texts(key);
  if (static_cast<std::int64_t>(types.size()) != layers) {
    reader.fail(key, "one kind per layer is needed: mamba or attention");
  }
  HfLayers list;
  for (const std::string& type : types) {
    if (type != "mamba" && type != "attention") {
      reader.fail(key, "\"" + type + "\" is not one of: mamba, attention");
    }
    list.push_back(hf_layer(type == "mamba" ? mamba : attention, ffn));
  }
  return hf_document(reader, false, std::move(list));
}

// Mamba-1, every eighth layer attention; every second FFN routed.
Json read_jamba(HfReader& reader) {
  const Json attention = hf_gqa(reader, 8);
  const std::int64_t hidden = reader.integer("hidden_size", hf_largest);
  const std::int64_t expand = reader.documented("mamba_expand", 2, 64);
  const Json* rank = reader.raw("mamba_dt_rank");
  const bool given = rank != nullptr && *rank != "auto";
  const bool bias = reader.boolean_or("mamba_proj_bias", false);
  const Json mamba = {
      {"kind", "mamba"},
      {"heads", expand * hidden},
      {"head_dim", 1},
      {"state_dim", reader.documented("mamba_d_state", 16, hf_largest)},
      {"conv_width", reader.documented("mamba_d_conv", 4, 64)},
      {"conv_bias", reader.boolean_or("mamba_conv_bias", true)},
      {"dt_rank", given ? reader.integer("mamba_dt_rank", hf_largest) : (hidden + 15) / 16},
      {"state_norms", true},
      {"qkv_bias", bias},
      {"output_bias", bias}};
  const std::int64_t inter = reader.integer("intermediate_size", hf_largest);
  const Json dense = hf_dense(inter);
  const std::int64_t experts = reader.documented("num_experts", 16, hf_largest);
  const Json sparse =
      hf_moe(experts, inter, {{"top_k", reader.documented("num_experts_per_tok", 2, hf_largest)}});
  const std::int64_t attention_period = reader.documented("attn_layer_period", 8, hf_most_layers);
  const std::int64_t attention_offset = reader.integer_or("attn_layer_offset", 4, hf_most_layers);
  const std::int64_t expert_period = reader.documented("expert_layer_period", 2, hf_most_layers);
  const std::int64_t expert_offset = reader.integer_or("expert_layer_offset", 1, hf_most_layers);
  if (reader.integer_or("sliding_window", 0, hf_largest) > 0) {
    reader.fail("sliding_window", "windows are not read here");
  }
  HfLayers list;
  for (std::int64_t i = 0; i < hf_layer_count(reader); ++i) {
    list.push_back(hf_layer(i % attention_period == attention_offset ? attention : mamba,
                            experts > 1 && i % expert_period == expert_offset ? sparse : dense));
  }
  return hf_document(reader, false, std::move(list));
}

Json read_dbrx(HfReader& reader) {
  HfReader attn = reader.object("attn_config");
  HfReader ffn = reader.object("ffn_config");
  const std::int64_t heads = reader.integer("n_heads", hf_largest);
  const std::int64_t hidden = reader.integer("d_model", hf_largest);
  const std::int64_t kv_heads = attn.integer("kv_n_heads", hf_largest);
  if (hidden % heads != 0) {
    reader.fail("n_heads", std::to_string(heads) + " does not divide d_model");
  }
  const Json attention = {{"kind", kv_heads == heads ? "mha" : "gqa"},
                          {"heads", heads},
                          {"kv_heads", kv_heads},
                          {"head_dim", hidden / heads}};
  const Json sparse =
      hf_moe(ffn.integer("moe_num_experts", hf_largest), ffn.integer("ffn_hidden_size", hf_largest),
             {{"top_k", ffn.integer("moe_top_k", hf_largest)}});
  return {{"schema", 1},
          {"vocabulary", reader.integer("vocab_size", hf_largest)},
          {"hidden", hidden},
          {"tied_embeddings", reader.boolean_or("tie_word_embeddings", false)},
          {"blocks", HfLayers(static_cast<std::size_t>(reader.integer("n_layers", hf_most_layers)),
                              hf_layer(attention, sparse))}};
}

}  // namespace moesim::detail
