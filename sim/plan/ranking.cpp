#include "sim/plan/ranking.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numbers>
#include <tuple>

namespace moesim {
namespace {

double upper_tail(double z) { return 0.5 * std::erfc(z / std::sqrt(2.0)); }

// The probability that layout `other` is slower than e^log_s.
double slower(const RankedLayout& other, double log_s) {
  const double mean = std::log(other.figures.step.si());
  if (other.figures.sigma <= 0) {
    return mean >= log_s ? 1.0 : 0.0;
  }
  return upper_tail((log_s - mean) / other.figures.sigma);
}

struct Axis {
  const char* name;
  std::string (*value)(const TrainLayout&);
};

constexpr std::array<Axis, 10> axes{{
    {"tp", [](const TrainLayout& l) { return std::to_string(l.parallelism.attention_tp); }},
    {"cp", [](const TrainLayout& l) { return std::to_string(l.parallelism.attention_cp); }},
    {"pp", [](const TrainLayout& l) { return std::to_string(l.parallelism.pp); }},
    {"vpp", [](const TrainLayout& l) { return std::to_string(l.parallelism.vpp); }},
    {"etp", [](const TrainLayout& l) { return std::to_string(l.parallelism.expert_tp); }},
    {"ep", [](const TrainLayout& l) { return std::to_string(l.parallelism.expert_ep); }},
    {"micro_batch", [](const TrainLayout& l) { return std::to_string(l.micro_batch); }},
    {"recompute", [](const TrainLayout& l) { return std::string(name_of(l.recompute)); }},
    {"zero", [](const TrainLayout& l) { return std::to_string(l.zero); }},
    {"pipeline", [](const TrainLayout& l) { return l.pipeline; }},
}};

// Numbers by size, names by letter.
struct ByValue {
  bool operator()(const std::string& a, const std::string& b) const {
    return std::tuple(a.size(), a) < std::tuple(b.size(), b);
  }
};

}  // namespace

void rank(std::vector<RankedLayout>& layouts) {
  std::ranges::sort(layouts, {}, [](const RankedLayout& l) {
    return std::tuple(l.figures.step, describe(l.layout));
  });
}

std::vector<std::size_t> pareto_front(std::span<const RankedLayout> ranking) {
  std::vector<std::size_t> front;
  for (std::size_t i = 0; i < ranking.size(); ++i) {
    if (front.empty() ||
        ranking[i].figures.peak_memory < ranking[front.back()].figures.peak_memory) {
      front.push_back(i);
    }
  }
  return front;
}

double win_probability(std::span<const RankedLayout> ranking) {
  if (ranking.size() < 2) {
    return 1.0;
  }
  constexpr int points = 640;  // over 16 standard errors: exact to ten digits
  constexpr double step = 16.0 / points;
  const double mean = std::log(ranking.front().figures.step.si());
  double probability = 0.0;
  for (int i = 0; i <= points; ++i) {
    const double z = -8.0 + step * i;
    double density = std::exp(-0.5 * z * z) / std::sqrt(2.0 * std::numbers::pi) * step;
    for (const RankedLayout& other : ranking.subspan(1)) {
      density *= slower(other, mean + ranking.front().figures.sigma * z);
    }
    probability += density;
  }
  return std::min(1.0, probability);
}

std::vector<Sensitivity> sensitivities(std::span<const RankedLayout> ranking,
                                       std::span<const RankedLayout> estimated) {
  std::vector<Sensitivity> result;
  for (const Axis& axis : axes) {
    std::map<std::string, Sensitivity, ByValue> best;
    const auto note = [&](const TrainLayout& layout, Seconds step, bool simulated) {
      const std::string value = axis.value(layout);
      const auto [found, is_new] = best.try_emplace(
          value,
          Sensitivity{.axis = axis.name, .value = value, .step = step, .simulated = simulated});
      Sensitivity& row = found->second;
      if (!is_new && row.simulated == simulated && step < row.step) {
        row.step = step;
      }
    };
    for (const RankedLayout& layout : ranking) {
      note(layout.layout, layout.figures.step, true);
    }
    for (const RankedLayout& layout : estimated) {
      note(layout.layout, layout.estimate, false);
    }
    for (auto& [value, row] : best) {
      if (best.size() > 1) {
        result.push_back(std::move(row));
      }
    }
  }
  return result;
}

}  // namespace moesim
