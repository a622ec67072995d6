// FFN entries of a block: dense, or routed experts with their router and shared experts.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "models/network/moe_model_parse.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 2> ffn_kinds{"dense", "moe"};
constexpr std::array<std::string_view, 5> expert_kinds{"ffn", "zero", "copy", "const", "null"};
constexpr std::array<std::string_view, 2> router_kinds{"linear", "none"};
constexpr std::array<std::string_view, 1> shortcut_inputs{"ffn_norm"};

std::string text_of(std::int64_t number) { return std::to_string(number); }

int parse_matrices(ConfigObject& object) {
  return static_cast<int>(object.integer_or("matrices", 3, 2, 3));
}

ExpertSet parse_expert_set(ConfigObject object) {
  ExpertSet set;
  set.count = object.integer("count", 1, model_limits::experts);
  const std::string kind = object.choice_or("kind", "ffn", expert_kinds);
  set.kind = static_cast<ExpertKind>(std::ranges::find(expert_kinds, kind) - expert_kinds.begin());
  if (set.kind == ExpertKind::ffn) {
    set.inter = object.integer("inter", 1, model_limits::inter);
    set.matrices = parse_matrices(object);
    set.bias = object.boolean_or("bias", false);
    set.weight_bits = object.number_or("bits", 0, 0, model_limits::bits);
  }
  object.reject_unknown_keys();
  return set;
}

void parse_experts(ConfigObject& object, FfnGroup& group) {
  std::int64_t total = 0;
  for (const ConfigObject& entry : object.objects("experts")) {
    group.experts.push_back(parse_expert_set(entry));
    total += group.experts.back().count;
    const bool first = group.experts.size() == 1;
    if (first != (group.experts.back().kind == ExpertKind::ffn)) {
      throw ConfigError(entry.where(),
                        first ? "the first set must be the experts of kind ffn"
                              : "a second set of kind ffn; experts that differ in width cannot "
                                "share a router yet");
    }
    if (total > model_limits::experts) {
      object.fail("experts", "more than " + text_of(model_limits::experts) + " experts in all");
    }
  }
  if (group.experts.empty()) {
    object.fail("experts",
                "is missing; a list of {\"count\": ..., \"kind\": \"ffn\", \"inter\": "
                "...} is needed");
  }
}

void parse_shared(ConfigObject& object, FfnGroup& group) {
  for (ConfigObject& entry : object.objects("shared")) {
    if (group.shared.size() >= static_cast<std::size_t>(model_limits::ffn_entries)) {
      object.fail("shared", "more than " + text_of(model_limits::ffn_entries) + " entries");
    }
    SharedExperts shared;
    shared.count = entry.integer_or("count", 1, 1, model_limits::shared);
    shared.inter = entry.integer("inter", 1, model_limits::inter);
    shared.matrices = parse_matrices(entry);
    shared.gated = entry.boolean_or("gated", false);
    shared.weight_bits = entry.number_or("bits", 0, 0, model_limits::bits);
    entry.reject_unknown_keys();
    group.shared.push_back(shared);
  }
}

void check_router_groups(ConfigObject& object, const Router& router, const FfnGroup& group) {
  const std::int64_t experts = group.selectable_experts();
  if (experts % router.groups != 0) {
    object.fail("groups", text_of(router.groups) + " does not divide the " + text_of(experts) +
                              " experts that can be selected");
  }
  if (router.groups > 1 && group.ffn_experts() != experts) {
    object.fail("groups", "experts that cost nothing belong to no group; groups must be 1");
  }
  const std::int64_t reachable = experts / router.groups * router.top_groups;
  if (router.top_k > reachable) {
    object.fail("top_k", text_of(router.top_k) + " is more than the " + text_of(reachable) +
                             " experts that can be selected");
  }
  if (router.per_group_k > 0 &&
      (router.per_group_k * router.groups != router.top_k || router.top_groups != router.groups)) {
    object.fail("per_group_k", text_of(router.per_group_k) + " in each of " +
                                   text_of(router.groups) + " groups is not top_k " +
                                   text_of(router.top_k) + " (top_groups must be groups)");
  }
}

Router parse_router(ConfigObject object, const FfnGroup& group) {
  Router router;
  router.linear = object.choice_or("kind", "linear", router_kinds) == "linear";
  router.bias = object.boolean_or("bias", false);
  router.residual = object.boolean_or("residual", false);
  router.top_k = object.integer("top_k", 1, model_limits::experts);
  router.groups = object.integer_or("groups", 1, 1, model_limits::experts);
  router.top_groups = object.integer_or("top_groups", router.groups, 1, router.groups);
  router.per_group_k = object.integer_or("per_group_k", 0, 0, model_limits::experts);
  if (!router.linear && (router.bias || router.residual)) {
    object.fail("kind", "\"none\" has no weights; drop bias and residual");
  }
  check_router_groups(object, router, group);
  object.reject_unknown_keys();
  return router;
}

void parse_expected_k(ConfigObject& object, FfnGroup& group) {
  const auto k = static_cast<double>(group.router.top_k);
  // Without better knowledge every selectable expert is equally likely.
  const double uniform = k * static_cast<double>(group.ffn_experts()) /
                         static_cast<double>(group.selectable_experts());
  group.expected_ffn_k = object.number_or("expected_ffn_k", uniform, 0, k);
  const auto most = std::min(k, static_cast<double>(group.ffn_experts()));
  const bool fixed = group.ffn_experts() == group.selectable_experts();
  if (group.expected_ffn_k > most || (fixed && group.expected_ffn_k < k)) {
    object.fail("expected_ffn_k", fixed ? "must be top_k " + text_of(group.router.top_k) +
                                              ": every selectable expert is an FFN"
                                        : "is more than the FFN experts there are");
  }
}

void parse_shortcut(ConfigObject& object, FfnGroup& group) {
  if (auto shortcut = object.object_if("shortcut")) {
    static_cast<void>(shortcut->choice_or("input", "ffn_norm", shortcut_inputs));
    group.shortcut = Shortcut{shortcut->integer("adds_after_blocks", 0, 64)};
    shortcut->reject_unknown_keys();
  }
}

}  // namespace

FfnGroup parse_ffn(ConfigObject object) {
  FfnGroup group;
  if (object.choice("kind", ffn_kinds) == "dense") {
    group.kind = FfnKind::dense;
    group.inter = object.integer("inter", 1, model_limits::inter);
    group.matrices = parse_matrices(object);
    group.bias = object.boolean_or("bias", false);
    group.weight_bits = object.number_or("bits", 0, 0, model_limits::bits);
  } else {
    group.kind = FfnKind::moe;
    parse_experts(object, group);
    parse_shared(object, group);
    group.router = parse_router(object.object("router"), group);
    group.rounds = object.integer_or("rounds", 1, 1, model_limits::rounds);
    group.latent_dim = object.integer_or("latent_dim", 0, 0, model_limits::hidden);
    parse_expected_k(object, group);
  }
  parse_shortcut(object, group);
  object.reject_unknown_keys();
  return group;
}

}  // namespace moesim
