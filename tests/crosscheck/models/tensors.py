"""The tensors that a Hugging Face configuration's model class creates, written from the classes'
definitions (transformers, and the vendors' own code where it is not there). Shares nothing with
moesim: a second opinion on its counts.

count(config) gives {"total", "active", "kv_per_token", "state"}: parameters, parameters that one
token uses (the input table in full), bytes of bf16 cache per token while every window holds it,
and bytes of states per sequence.
"""

from attention_families import (
    deepseek, deepseek_v1, deepseek_v2, deepseek_v4, ernie, glm4_moe, gpt_oss, llama, llama4,
    mimo, minimax_m2, mixtral, nemotron_nas, qwen2, qwen2_moe, qwen3, qwen3_moe, qwen3_next)
from hybrid_families import (
    dbrx, gemma2, gemma3, gemma4, granite_hybrid, granite_moe, jamba, mimo_v2, nemotron_h, step)
from parts import Count

FAMILIES = {
    "dbrx": dbrx, "deepseek": deepseek_v1, "deepseek_v2": deepseek_v2, "deepseek_v3": deepseek,
    "deepseek_v32": deepseek, "deepseek_v4": deepseek_v4, "deepseek_ref": deepseek_v4,
    "ernie4_5_moe": ernie, "gemma2": gemma2, "gemma3_text": gemma3, "gemma4_text": gemma4,
    "glm4_moe": glm4_moe, "glm4_moe_lite": deepseek, "glm_moe_dsa": deepseek, "gpt_oss": gpt_oss,
    "granitemoe": granite_moe, "granitemoehybrid": granite_hybrid, "granitemoeshared": granite_moe,
    "jamba": jamba, "kimi_k2": deepseek, "llama": llama, "llama4_text": llama4, "mimo": mimo,
    "mimo_v2_flash": mimo_v2, "minimax_m2": minimax_m2, "mistral": llama, "mixtral": mixtral,
    "nemotron-nas": nemotron_nas, "nemotron_h": nemotron_h, "qwen2": qwen2, "qwen2_moe": qwen2_moe,
    "qwen3": qwen3, "qwen3_5_moe_text": qwen3_next, "qwen3_5_text": qwen3_next,
    "qwen3_moe": qwen3_moe, "qwen3_next": qwen3_next, "qwen3_vl_moe_text": qwen3_moe,
    "qwen3_vl_text": qwen3, "step3p5": step,
}


def count(config):
    text = config.get("text_config") or config
    if text is not config and "tie_word_embeddings" in config:
        text = dict(text, tie_word_embeddings=config["tie_word_embeddings"])
    sums = Count()
    FAMILIES[text["model_type"]](sums, text)
    return {"total": sums.total, "active": sums.active, "kv_per_token": sums.kv,
            "state": sums.state}
