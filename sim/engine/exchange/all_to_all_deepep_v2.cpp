// DeepEP's second version: one kernel for both loads. Like the normal kernels of the first, a token
// crosses the fabric once per destination node and is passed on over the node's links; nothing
// waits for received counts (deepseek-ai/DeepEP, README of V2).
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {

AllToAllEntry deepep_v2_entry() {
  AllToAllEntry entry = deepep_normal_entry();
  entry.name = "deepep_v2";
  entry.summary = "as deepep_normal, by the kernels of DeepEP's second version";
  return entry;
}

}  // namespace moesim
