#include "placement/programs/joint_program.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/core/index.h"

namespace moesim {
std::int64_t joint_columns(const PlacementProblem& problem, int first, int end) {
  const std::int64_t experts = problem.experts;
  const bool both = problem.nodes() > 1 && problem.devices_per_node > 1;
  const std::int64_t groups = problem.devices + (both ? problem.nodes() : 0);
  const std::int64_t pairs = problem.comm == CommModel::interlayer ? experts * experts * groups : 0;
  return (end - first) * (experts * problem.devices + 1) + (end - first - 1) * pairs;
}

int JointProgram::x(int l, int e, int g) const {
  return layers_[at(l - first_)].x + e * p_.devices + g;
}

int JointProgram::device_of(const Assignment& devices, int l, int e) const {
  return devices[at(l) * at(p_.experts) + at(e)];
}

JointProgram::JointProgram(const PlacementProblem& problem, int first, int end)
    : p_(problem), first_(first), end_(end) {
  for (int l = first; l < end; ++l) {
    add_layer(l);
  }
  const bool interlayer = p_.comm == CommModel::interlayer;
  for (int l = first; interlayer && l + 1 < end; ++l) {
    add_pairs(l);
  }
}

double JointProgram::constant(int first, int end) const {
  double sum = 0.0;
  for (int l = first; p_.comm == CommModel::interlayer && l + 1 < end; ++l) {
    const auto& matrix = p_.transitions[at(l)];
    sum += std::accumulate(matrix.begin(), matrix.end(), 0.0);
  }
  return sum * p_.beta * farthest();
}

void JointProgram::add_run_bound(const LayerRunBound& known) {
  std::vector<MilpTerm> terms;
  double most = 0.0;
  for (int l = known.first; l < known.end; ++l) {
    const auto& layer = layers_[at(l - first_)];
    terms.push_back({layer.busiest, model_.cost[at(layer.busiest)]});
    for (int c = layer.pairs; l + 1 < known.end && c < layer.pairs_end; ++c) {
      if (model_.cost[at(c)] != 0.0) {
        terms.push_back({c, model_.cost[at(c)]});
      }
    }
  }
  for (const MilpTerm& term : terms) {
    most = std::max(most, std::abs(term.factor));
  }
  const double scale = power_of_two_below(most);
  for (MilpTerm& term : terms) {
    term.factor /= scale;
  }
  model_.add_row((known.bound - constant(known.first, known.end)) / scale, k_unbounded,
                 std::move(terms));
}

void JointProgram::break_symmetry(const std::vector<int>& order) {
  for (std::size_t k = 0; k < order.size(); ++k) {
    for (int g = 0; g < p_.devices; ++g) {
      if (p_.node_of(g) > static_cast<int>(k) || g % p_.devices_per_node > static_cast<int>(k)) {
        model_.upper[at(x(first_, order[k], g))] = 0.0;
      }
    }
  }
}

void JointProgram::set_start(const Assignment& devices) {
  model_.start.assign(at(model_.columns()), 0.0);
  for (int l = first_; l < end_; ++l) {
    std::vector<double> busy(at(p_.devices), 0.0);
    double most = 0.0;
    for (int e = 0; e < p_.experts; ++e) {
      const int g = device_of(devices, l, e);
      model_.start[at(x(l, e, g))] = 1.0;
      busy[at(g)] += p_.loads[at(l)][at(e)];
    }
    for (int g = 0; g < p_.devices; ++g) {
      most = std::max(most, p_.slowness_of(g) * busy[at(g)]);
    }
    const auto& layer = layers_[at(l - first_)];
    model_.start[at(layer.busiest)] = most / layer.scale;
    for (int c = layer.pairs; c < layer.pairs_end; ++c) {
      const auto& pair = pairs_[at(c)];
      const int here = device_of(devices, l, pair.a);
      const int next = device_of(devices, l + 1, pair.b);
      const bool together = pair.node
                                ? p_.node_of(here) == pair.group && p_.node_of(next) == pair.group
                                : here == pair.group && next == pair.group;
      model_.start[at(c)] = together ? 1.0 : 0.0;
    }
  }
}

void JointProgram::read(const std::vector<double>& values, Assignment& devices) const {
  for (int l = first_; l < end_; ++l) {
    for (int e = 0; e < p_.experts; ++e) {
      for (int g = 0; g < p_.devices; ++g) {
        if (values[at(x(l, e, g))] > 0.5) {
          devices[at(l) * at(p_.experts) + at(e)] = g;
        }
      }
    }
  }
}

void JointProgram::add_layer(int l) {
  const auto& loads = p_.loads[at(l)];
  Layer layer;
  layer.x = model_.columns();
  for (int e = 0; e < p_.experts; ++e) {
    std::vector<MilpTerm> somewhere;
    for (int g = 0; g < p_.devices; ++g) {
      somewhere.push_back({model_.add_binary(0.0), 1.0});
      model_.upper.back() = p_.allowed(l, e, g) ? 1.0 : 0.0;
    }
    model_.add_row(1.0, 1.0, std::move(somewhere));
  }
  layer.scale = power_of_two_below(p_.total_load(l) / p_.devices);
  layer.busiest = model_.add_continuous(0.0, k_unbounded, p_.alpha * layer.scale);
  layers_.push_back(layer);
  for (int g = 0; g < p_.devices; ++g) {
    std::vector<MilpTerm> count;
    std::vector<MilpTerm> load{{layer.busiest, -1.0}};
    for (int e = 0; e < p_.experts; ++e) {
      count.push_back({x(l, e, g), 1.0});
      load.push_back({x(l, e, g), p_.slowness_of(g) * loads[at(e)] / layer.scale});
    }
    const double room = p_.capacity[at(g)];
    model_.add_row(p_.exact_capacity ? room : 0.0, room, std::move(count));
    model_.add_row(-k_unbounded, 0.0, std::move(load));
  }
  if (!p_.expert_of_item.empty()) {
    keep_replicas_apart(l);
  }
}

void JointProgram::keep_replicas_apart(int l) {
  const auto& expert = p_.expert_of_item[at(l)];
  for (int g = 0; g < p_.devices; ++g) {
    for (int i = 0; i < p_.experts; ++i) {
      std::vector<MilpTerm> siblings{{x(l, i, g), 1.0}};
      for (int j = i + 1; j < p_.experts; ++j) {
        if (expert[at(i)] == expert[at(j)]) {
          siblings.push_back({x(l, j, g), 1.0});
        }
      }
      if (siblings.size() > 1) {
        model_.add_row(0.0, 1.0, std::move(siblings));
      }
    }
  }
}

void JointProgram::add_pairs(int l) {
  Layer& layer = layers_[at(l - first_)];
  layer.pairs = model_.columns();
  const bool nodes = p_.nodes() > 1 && p_.devices_per_node > 1;
  const double saves = nodes ? p_.c_intra : farthest();
  std::vector<int> device_pairs;
  for (int g = 0; g < p_.devices; ++g) {
    device_pairs.push_back(add_group(l, g, false, p_.beta * saves));
  }
  for (int n = 0; nodes && n < p_.nodes(); ++n) {
    const int column = add_group(l, n, true, p_.beta * (p_.c_inter - p_.c_intra));
    for (int i = 0; i < p_.experts * p_.experts; ++i) {  // on one device: in one node
      std::vector<MilpTerm> inside{{column + i, -1.0}};
      for (int g = n * p_.devices_per_node; g < (n + 1) * p_.devices_per_node; ++g) {
        inside.push_back({device_pairs[at(g)] + i, 1.0});
      }
      model_.add_row(-k_unbounded, 0.0, std::move(inside));
    }
  }
  layers_[at(l - first_)].pairs_end = model_.columns();
}

int JointProgram::add_group(int l, int group, bool node, double saves) {
  const int first = model_.columns();
  const auto& matrix = p_.transitions[at(l)];
  for (int a = 0; a < p_.experts; ++a) {
    for (int b = 0; b < p_.experts; ++b) {
      model_.add_continuous(0.0, 1.0, -saves * matrix[at(a * p_.experts + b)]);
      pairs_.resize(at(model_.columns()));
      pairs_.back() = {a, b, group, node};
    }
  }
  const int g_first = node ? group * p_.devices_per_node : group;
  const int g_end = node ? g_first + p_.devices_per_node : group + 1;
  double room = 0.0;
  for (int g = g_first; g < g_end; ++g) {
    room += p_.capacity[at(g)];
  }
  for (int side = 0; side < 2; ++side) {
    for (int i = 0; i < p_.experts; ++i) {
      std::vector<MilpTerm> partners;
      std::vector<MilpTerm> own;
      for (int g = g_first; g < g_end; ++g) {
        own.push_back({x(l + side, i, g), -1.0});
        partners.push_back({x(l + side, i, g), -room});
      }
      for (int j = 0; j < p_.experts; ++j) {
        const int z = first + (side == 0 ? i * p_.experts + j : j * p_.experts + i);
        partners.push_back({z, 1.0});
        if (!p_.exact_capacity) {  // otherwise implied
          std::vector<MilpTerm> both = own;
          both.push_back({z, 1.0});
          model_.add_row(-k_unbounded, 0.0, std::move(both));
        }
      }
      model_.add_row(p_.exact_capacity ? 0.0 : -k_unbounded, 0.0, std::move(partners));
    }
  }
  return first;
}

}  // namespace moesim
