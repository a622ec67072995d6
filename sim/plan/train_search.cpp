#include "sim/plan/train_search.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <tuple>

#include "sim/core/error.h"
#include "sim/core/thread_pool.h"
#include "sim/plan/ranking.h"

namespace moesim {
namespace {

// Layouts that are asked at a time: the same for any number of threads, as answers decide about
// what is asked next.
constexpr std::size_t probes_at_once = 64;
constexpr std::size_t simulations_at_once = 8;
// Simulated whatever their estimates say, so that there is something to compare with.
constexpr std::size_t least_simulations = 10;
// Estimates leave out what passes of different micro-batches do to each other. A layout is out
// when it would stay slower than the best although its estimate were as far off as the farthest so
// far and this much more.
constexpr double estimate_margin = 0.03;
// The same of a family's pace, whose members' stages end differently.
constexpr double pace_margin = 0.05;
constexpr std::size_t most_binding_probes = 32;  // of either kind

struct Candidate {
  TrainLayout layout;
  Seconds least{};
  Bytes memory{};
  std::string refused = {};  // why the judge did not answer
  Seconds estimate{};
};

// Layouts whose layers take the same times.
auto family_of(const TrainLayout& layout) {
  const Parallelism& p = layout.parallelism;
  return std::tuple(p.attention_tp, p.attention_cp, p.expert_tp, p.expert_ep, layout.micro_batch,
                    layout.recompute, layout.zero == 3);
}
using Family = decltype(family_of(TrainLayout{}));

// Layouts whose stages take the same times, and what comes once besides.
auto probe_key(const TrainLayout& layout) {
  return std::tuple(family_of(layout), layout.parallelism.pp, layout.zero);
}

class TrainSearch {
 public:
  TrainSearch(const PlanProblem& problem, const LayoutJudge& judge, const SearchOptions& options)
      : problem_(problem), judge_(judge), options_(options) {}

  SearchResult run() {
    enumerate();
    weigh();
    probe();
    simulate();
    find_binding();
    finish();
    return std::move(result_);
  }

 private:
  void enumerate() {
    const auto maps = legal_rank_maps(problem_, options_.limits, result_.maps_out);
    result_.maps = std::ssize(maps);
    for (TrainLayout& layout : legal_layouts(problem_, options_.limits, maps)) {
      const Seconds least = least_time(problem_, options_.flops, layout);
      candidates_.push_back({.layout = std::move(layout), .least = least});
    }
    result_.layouts = std::ssize(candidates_);
    std::ranges::stable_sort(candidates_, {}, &Candidate::least);
  }

  void weigh() {
    parallel_for(candidates_.size(), options_.threads, [this](std::size_t i) {
      Candidate& candidate = candidates_[i];
      try {
        candidate.memory = judge_.peak_memory(candidate.layout);
      } catch (const ConfigError& error) {
        candidate.refused = error.what();
      }
    });
    for (Candidate& candidate : candidates_) {
      if (!candidate.refused.empty()) {
        refuse(candidate);
      } else if (candidate.memory > options_.usable) {
        out("memory");
        too_large_.push_back(std::move(candidate));
      } else {
        fitting_.push_back(std::move(candidate));
      }
    }
    say(0.1);
  }

  // Candidates that share a probe, and what is known of them.
  struct Group {
    std::vector<std::size_t> members;  // the first has the lowest bound
    bool asked = false;
  };

  // In the order of their lowest bound.
  static std::vector<Group> probe_groups(const std::vector<Candidate>& candidates) {
    std::map<decltype(probe_key(TrainLayout{})), std::size_t> known;
    std::vector<Group> groups;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const auto [found, is_new] = known.emplace(probe_key(candidates[i].layout), groups.size());
      if (is_new) {
        groups.emplace_back();
      }
      groups[found->second].members.push_back(i);
    }
    return groups;
  }

  // The lowest time that a group may have: at its family's pace, if that is known.
  [[nodiscard]] Seconds least_of(const std::vector<Candidate>& candidates,
                                 const Group& group) const {
    const Candidate& first = candidates[group.members.front()];
    const auto known = pace_.find(family_of(first.layout));
    return known == pace_.end() ? first.least
                                : std::max(1.0, known->second * (1.0 - pace_margin)) * first.least;
  }

  // Asks the judge about groups; answers are written to all of their members.
  void ask(std::vector<Candidate>& candidates, std::span<Group* const> groups) {
    std::vector<double> paces(groups.size());
    parallel_for(groups.size(), options_.threads, [&](std::size_t k) {
      const auto& members = groups[k]->members;
      const TrainLayout& first = candidates[members.front()].layout;
      try {
        const LayoutProbe probe = judge_.probe(first);
        paces[k] = pace(problem_, options_.flops, probe, first);
        for (const std::size_t i : members) {
          candidates[i].estimate =
              estimated_time(probe, candidates[i].layout,
                             micro_batches(candidates[i].layout, problem_.global_batch));
        }
      } catch (const ConfigError& error) {
        for (const std::size_t i : members) {
          candidates[i].refused = error.what();
        }
      }
    });
    for (std::size_t k = 0; k < groups.size(); ++k) {
      groups[k]->asked = true;
      const Candidate& first = candidates[groups[k]->members.front()];
      if (first.refused.empty()) {
        pace_.try_emplace(family_of(first.layout), paces[k]);
        for (const std::size_t i : groups[k]->members) {
          best_estimate_ = std::min(best_estimate_, candidates[i].estimate);
        }
      }
    }
    result_.probed += std::ssize(groups);
  }

  // Asks in the order given, as long as a group could be faster than the best so far.
  void ask_while_useful(std::vector<Group*> groups) {
    for (std::size_t done = 0; done < groups.size(); done += probes_at_once) {
      std::vector<Group*> next(
          groups.begin() + std::ptrdiff_t(done),
          groups.begin() + std::ptrdiff_t(std::min(done + probes_at_once, groups.size())));
      std::erase_if(
          next, [this](const Group* group) { return least_of(fitting_, *group) > best_estimate_; });
      ask(fitting_, next);
      progress_ = std::max(progress_, 0.1 + 0.3 * double(done) / double(groups.size()));
      say(progress_);
    }
  }

  void probe() {
    std::vector<Group> groups = probe_groups(fitting_);
    // First one of each family, then the others in the order of what these suggest.
    std::set<Family> seen;
    std::vector<Group*> leaders;
    for (Group& group : groups) {
      if (seen.insert(family_of(fitting_[group.members.front()].layout)).second) {
        leaders.push_back(&group);
      }
    }
    ask_while_useful(std::move(leaders));
    std::vector<Group*> others;
    for (Group& group : groups) {
      if (!group.asked) {
        others.push_back(&group);
      }
    }
    std::ranges::stable_sort(others, {},
                             [this](const Group* group) { return least_of(fitting_, *group); });
    ask_while_useful(std::move(others));
    keep_probed(groups);
  }

  void keep_probed(const std::vector<Group>& groups) {
    std::vector<Candidate> probed;
    for (const Group& group : groups) {
      for (const std::size_t i : group.members) {
        if (!group.asked) {
          out(fitting_[i].least > best_estimate_ ? "slower at peak FLOP/s than the best estimate"
                                                 : "slower at the pace of its like");
        } else if (!fitting_[i].refused.empty()) {
          refuse(fitting_[i]);
        } else {
          probed.push_back(std::move(fitting_[i]));
        }
      }
    }
    std::ranges::stable_sort(probed, {}, &Candidate::estimate);
    fitting_ = std::move(probed);
  }

  void simulate() {
    double best_ratio = 1.0;  // of simulated to estimated, at least
    Seconds best(std::numeric_limits<double>::infinity());
    const auto most =
        std::min(fitting_.size(), static_cast<std::size_t>(options_.limits.simulations));
    std::size_t done = 0;
    const auto may_win = [&](const Candidate& candidate) {
      return candidate.estimate * (best_ratio * (1.0 - estimate_margin)) <= best;
    };
    while (done < most && (done < least_simulations || may_win(fitting_[done]))) {
      const std::size_t last = std::min(done + simulations_at_once, most);
      std::vector<RankedLayout> answers(last - done);
      parallel_for(answers.size(), options_.threads, [&](std::size_t k) {
        Candidate& candidate = fitting_[done + k];
        answers[k] = {.layout = candidate.layout, .estimate = candidate.estimate, .figures = {}};
        try {
          answers[k].figures = judge_.simulate(candidate.layout);
        } catch (const ConfigError& error) {
          candidate.refused = error.what();
        }
      });
      for (std::size_t k = 0; k < answers.size(); ++k) {
        if (!fitting_[done + k].refused.empty()) {
          refuse(fitting_[done + k]);
          continue;
        }
        ++result_.simulated;
        if (!answers[k].figures.fits) {
          out("memory, by the simulation");
          continue;
        }
        best = std::min(best, answers[k].figures.step);
        best_ratio = std::min(best_ratio, answers[k].figures.step / answers[k].estimate);
        result_.ranking.push_back(std::move(answers[k]));
      }
      done = last;
      say(0.7 + 0.25 * double(done) / double(most));
    }
    for (std::size_t i = done; i < fitting_.size(); ++i) {
      out(may_win(fitting_[i]) ? "after the last simulation allowed" : "slower by estimate");
      estimated_.push_back(
          {.layout = fitting_[i].layout, .estimate = fitting_[i].estimate, .figures = {}});
    }
  }

  // Would something that is too large be faster?
  void find_binding() {
    rank(result_.ranking);
    const Seconds best = result_.ranking.empty() ? Seconds(std::numeric_limits<double>::infinity())
                                                 : result_.ranking.front().figures.step;
    std::vector<Group> groups = probe_groups(too_large_);
    std::vector<Group*> useful;
    for (Group& group : groups) {
      if (least_of(too_large_, group) < (1.0 - pace_margin) * best) {
        useful.push_back(&group);
      }
    }
    // Those that promise most (of equals: that are cut least), and those that miss by least.
    std::vector<Group*> asked = useful;
    asked.resize(std::min(asked.size(), most_binding_probes));
    std::erase_if(useful,
                  [&asked](Group* g) { return std::ranges::find(asked, g) != asked.end(); });
    std::ranges::stable_sort(useful, {}, [this](const Group* group) {
      return too_large_[group->members.front()].memory;
    });
    useful.resize(std::min(useful.size(), most_binding_probes));
    asked.insert(asked.end(), useful.begin(), useful.end());
    ask(too_large_, asked);
    std::ranges::stable_sort(too_large_, {}, &Candidate::memory);
    const auto wins = [&best](const Candidate& candidate) {
      return candidate.refused.empty() && candidate.estimate > Seconds(0) &&
             candidate.estimate < best;
    };
    const auto found = std::ranges::find_if(too_large_, wins);
    if (found != too_large_.end()) {
      result_.binding.push_back({.limit = "memory",
                                 .layout = found->layout,
                                 .estimate = found->estimate,
                                 .peak_memory = found->memory});
    }
  }

  void finish() {
    result_.pareto = pareto_front(result_.ranking);
    result_.win_probability = win_probability(result_.ranking);
    result_.sensitivities = sensitivities(result_.ranking, estimated_);
    if (result_.ranking.empty() && !too_large_.empty()) {
      const auto smallest = std::ranges::min_element(too_large_, {}, &Candidate::memory);
      result_.smallest = {smallest->layout, smallest->memory};
    }
    for (const auto& [reason, example] : refusals_) {
      result_.notes.push_back("not simulated: " + example);
    }
    say(1.0);
  }

  void say(double share) const {
    if (options_.progress) {
      options_.progress(share);
    }
  }
  void out(const std::string& reason) { ++result_.layouts_out[reason]; }
  // Messages differ in their numbers; one example of the first kind is enough.
  void refuse(const Candidate& candidate) {
    out("not simulated");
    if (refusals_.size() < 3) {
      refusals_.emplace(candidate.refused, candidate.refused);
    }
  }

  const PlanProblem& problem_;
  const LayoutJudge& judge_;
  const SearchOptions& options_;
  std::vector<Candidate> candidates_;
  std::vector<Candidate> fitting_;
  std::vector<Candidate> too_large_;
  std::vector<RankedLayout> estimated_;
  std::map<Family, double> pace_;
  Seconds best_estimate_{std::numeric_limits<double>::infinity()};
  double progress_ = 0.1;
  std::map<std::string, std::string> refusals_;
  SearchResult result_;
};

}  // namespace

SearchResult search_layouts(const PlanProblem& problem, const LayoutJudge& judge,
                            const SearchOptions& options) {
  return TrainSearch(problem, judge, options).run();
}

}  // namespace moesim
