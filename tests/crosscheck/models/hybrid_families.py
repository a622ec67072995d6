"""Families with state spaces, with windows of other shapes, or with layers of several kinds."""

import math

from parts import ends, gated_ffn, get, mamba2, of_config, plain_ffn, softmax


def nemotron_h(count, c):
    hidden = c["hidden_size"]
    letters = {"mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*",
               "moe": "E", "mlp": "-"}
    pattern = c.get("hybrid_override_pattern") or "".join(letters[k] for k in c["layers_block_type"])
    for kind in pattern:
        count.norm(hidden)
        if kind == "M":
            mamba2(count, hidden, c["mamba_num_heads"], c["mamba_head_dim"], c["ssm_state_size"],
                   c["n_groups"], c["conv_kernel"], c.get("use_conv_bias", True),
                   c.get("use_bias", False))
        elif kind == "*":
            dim = get(c, "head_dim", "attention_head_dim", default=128)
            softmax(count, hidden, c["num_attention_heads"], c["num_key_value_heads"], dim)
        elif kind == "-":
            plain_ffn(count, hidden, c["intermediate_size"])
        else:
            experts, inter = c["n_routed_experts"], c["moe_intermediate_size"]
            width = c.get("moe_latent_size") or hidden
            count.linear(hidden, experts)
            count.add(experts)
            plain_ffn(count, width, inter, experts, c["num_experts_per_tok"])
            plain_ffn(count, hidden, c["moe_shared_expert_intermediate_size"])
            if width != hidden:
                count.linear(hidden, width)
                count.linear(width, hidden)
    ends(count, c, c.get("tie_word_embeddings", False))


def gemma(count, c, norm, sliding):
    heads, kv, dim = (get(c, k, default=d) for k, d in
                      (("num_attention_heads", 8), ("num_key_value_heads", 4), ("head_dim", 256)))
    for _ in range(c["num_hidden_layers"]):
        count.norm(4 * c["hidden_size"])
        softmax(count, c["hidden_size"], heads, kv, dim, norm=norm)
        gated_ffn(count, c["hidden_size"], c["intermediate_size"])
    c = dict(c, vocab_size=c.get("vocab_size", 262208))
    ends(count, c, c.get("tie_word_embeddings", True))


def gemma2(count, c):
    gemma(count, c, None, 2)


def gemma3(count, c):
    gemma(count, c, "head", 6)


def gemma4(count, c):
    hidden, heads, layers = c["hidden_size"], c["num_attention_heads"], c["num_hidden_layers"]
    kinds = c.get("layer_types") or ["sliding_attention" if (i + 1) % 6 else "full_attention"
                                     for i in range(layers)]
    same = c.get("attention_k_eq_v", False)
    for i in range(layers):
        full = kinds[i] == "full_attention" or i == layers - 1
        kv = c["num_key_value_heads"]
        if full and same and c.get("num_global_key_value_heads"):
            kv = c["num_global_key_value_heads"]
        softmax(count, hidden, heads, kv, c.get("global_head_dim", 512) if full else c["head_dim"],
                norm="head", no_values=full and same)
        count.norm(4 * hidden)
        gated_ffn(count, hidden, c["intermediate_size"])
        if c.get("enable_moe_block"):
            count.norm(3 * hidden)
            count.add(hidden)  # the router's scale
            count.linear(hidden, c["num_experts"])
            count.add(c["num_experts"])
            gated_ffn(count, hidden, c["moe_intermediate_size"], c["num_experts"],
                      c["top_k_experts"])
    ends(count, c, c.get("tie_word_embeddings", True))


def granite_moe(count, c):
    heads, kv, dim = of_config(c)
    for _ in range(c["num_hidden_layers"]):
        count.norm(2 * c["hidden_size"])
        softmax(count, c["hidden_size"], heads, kv, dim)
        count.linear(c["hidden_size"], c["num_local_experts"])
        gated_ffn(count, c["hidden_size"], c["intermediate_size"], c["num_local_experts"],
                  c["num_experts_per_tok"])
        if c.get("shared_intermediate_size"):
            gated_ffn(count, c["hidden_size"], c["shared_intermediate_size"])
    ends(count, c, c.get("tie_word_embeddings", False))


def granite_hybrid(count, c):
    heads, kv, dim = of_config(c)
    hidden = c["hidden_size"]
    for kind in c.get("layers_block_type") or c["layer_types"]:
        count.norm(2 * hidden)
        if kind == "mamba":
            width = c["mamba_d_head"]
            if width == "auto":
                width = c["mamba_expand"] * hidden // c["mamba_n_heads"]
            mamba2(count, hidden, c["mamba_n_heads"], width, c["mamba_d_state"],
                   c["mamba_n_groups"], c["mamba_d_conv"], c.get("mamba_conv_bias", True), False)
        else:
            softmax(count, hidden, heads, kv, dim)
        if c.get("num_local_experts"):
            count.linear(hidden, c["num_local_experts"])
            gated_ffn(count, hidden, c["intermediate_size"], c["num_local_experts"],
                      c["num_experts_per_tok"])
        gated_ffn(count, hidden, c["shared_intermediate_size"])
    ends(count, c, c.get("tie_word_embeddings", False))


def jamba(count, c):
    heads, kv, dim = of_config(c, 8)
    hidden, inter = c["hidden_size"], c["intermediate_size"]
    for i in range(c["num_hidden_layers"]):
        count.norm(2 * hidden)
        if i % c["attn_layer_period"] == c["attn_layer_offset"]:
            softmax(count, hidden, heads, kv, dim)
        else:
            inner, state = c["mamba_expand"] * hidden, c["mamba_d_state"]
            rank = c["mamba_dt_rank"]
            rank = math.ceil(hidden / 16) if rank == "auto" else rank
            count.linear(hidden, 2 * inner)
            count.add(inner * c["mamba_d_conv"] + inner)
            count.linear(inner, rank + 2 * state)
            count.linear(rank, inner, True)
            count.add(inner * state + inner)  # A_log, D
            count.norm(rank + 2 * state)
            count.linear(inner, hidden)
            count.state += 4 * inner * state + 2 * inner * c["mamba_d_conv"]
        if i % c["expert_layer_period"] == c["expert_layer_offset"]:
            count.linear(hidden, c["num_experts"])
            gated_ffn(count, hidden, inter, c["num_experts"], c["num_experts_per_tok"])
        else:
            gated_ffn(count, hidden, inter)
    ends(count, c, c.get("tie_word_embeddings", False))


def dbrx(count, c):
    hidden, heads = c["d_model"], c["n_heads"]
    ffn = c["ffn_config"]
    for _ in range(c["n_layers"]):
        count.norm(2 * hidden)
        softmax(count, hidden, heads, c["attn_config"]["kv_n_heads"], hidden // heads)
        count.linear(hidden, ffn["moe_num_experts"])
        gated_ffn(count, hidden, ffn["ffn_hidden_size"], ffn["moe_num_experts"], ffn["moe_top_k"])
    ends(count, dict(c, hidden_size=hidden), c.get("tie_word_embeddings", False))


def mimo_v2(count, c):
    hidden = c["hidden_size"]
    for i in range(c["num_hidden_layers"]):
        count.norm(2 * hidden)
        if c["hybrid_layer_pattern"][i] == 1:
            softmax(count, hidden, c["swa_num_attention_heads"], c["swa_num_key_value_heads"],
                    c["swa_head_dim"], c["swa_v_head_dim"], sinks=c["add_swa_attention_sink_bias"])
        else:
            softmax(count, hidden, c["num_attention_heads"], c["num_key_value_heads"],
                    c["head_dim"], c["v_head_dim"], sinks=c["add_full_attention_sink_bias"])
        if c["moe_layer_freq"][i]:
            count.linear(hidden, c["n_routed_experts"])
            count.add(c["n_routed_experts"])
            gated_ffn(count, hidden, c["moe_intermediate_size"], c["n_routed_experts"],
                      c["num_experts_per_tok"])
        else:
            gated_ffn(count, hidden, c["intermediate_size"])
    ends(count, c, c.get("tie_word_embeddings", False))


def step(count, c):
    hidden, other = c["hidden_size"], c["attention_other_setting"]
    moe = {int(i) for i in c["moe_layers_enum"].split(",")}
    for i in range(c["num_hidden_layers"]):
        count.norm(2 * hidden)
        own = c if c["layer_types"][i] == "full_attention" else other
        heads = own["num_attention_heads"]
        softmax(count, hidden, heads, own["num_attention_groups"], own["head_dim"], norm="head",
                gate=heads if c["use_head_wise_attn_gate"] else 0)
        if i in moe:
            count.linear(hidden, c["moe_num_experts"])
            count.add(c["moe_num_experts"] if c["use_moe_router_bias"] else 0)
            gated_ffn(count, hidden, c["moe_intermediate_size"], c["moe_num_experts"],
                      c["moe_top_k"])
            gated_ffn(count, hidden, c["share_expert_dim"])
        else:
            gated_ffn(count, hidden, c["intermediate_size"])
    ends(count, c, c.get("tie_word_embeddings", False))
