// The columns and rows of F as an integer program, for a run of consecutive layers:
//   x[l, e, g] in {0, 1}; M_l >= slowness_g * load(l, g);
//   z[l, a, b, g] = x[l, a, g] x[l + 1, b, g] for pairs on one device, and likewise per node.
// Linear bounds z <= x alone are worthless (x = 1 / G makes traffic free), so rows count partners:
// sum_b z[l, a, b, g] = slots_g x[l, a, g], which implies z <= x where all slots are filled.
#pragma once

#include <cstdint>
#include <vector>

#include "placement/problem.h"
#include "placement/programs/milp_model.h"
#include "placement/solver.h"

namespace moesim {

// A proven lower bound on F restricted to layers [first, end).
struct LayerRunBound {
  int first = 0;
  int end = 0;
  double bound = 0.0;
};

// Columns of the program over layers [first, end), counted without building it.
std::int64_t joint_columns(const PlacementProblem& problem, int first, int end);

class JointProgram {
 public:
  JointProgram(const PlacementProblem& problem, int first, int end);

  [[nodiscard]] MilpModel& model() { return model_; }
  // Cost of all traffic as if it went between nodes; columns only save.
  [[nodiscard]] double constant(int first, int end) const;
  [[nodiscard]] double constant() const { return constant(first_, end_); }

  // For a run inside this one: its busiest devices and traffic cost at least that.
  void add_run_bound(const LayerRunBound& known);
  // Fixes names of devices by the items of the first layer, in `order`: item k is in one of the
  // first k + 1 nodes, on one of the first k + 1 devices there. Starts must be named like that.
  void break_symmetry(const std::vector<int>& order);
  // `devices` are of the whole problem, here and below.
  void set_start(const Assignment& devices);
  void read(const std::vector<double>& values, Assignment& devices) const;

 private:
  struct Layer {
    int x = 0;        // first column
    int busiest = 0;  // column of M_l / scale
    double scale = 1.0;
    int pairs = 0;  // columns to the next layer
    int pairs_end = 0;
  };
  struct Pair {
    int a = 0;
    int b = 0;
    int group = 0;
    bool node = false;
  };

  [[nodiscard]] int x(int l, int e, int g) const;
  [[nodiscard]] int device_of(const Assignment& devices, int l, int e) const;
  [[nodiscard]] double farthest() const { return p_.nodes() > 1 ? p_.c_inter : p_.c_intra; }

  void add_layer(int l);
  void keep_replicas_apart(int l);
  void add_pairs(int l);
  // The products of one device, or of one node: its first column, [a * experts + b] from there.
  int add_group(int l, int group, bool node, double saves);

  const PlacementProblem& p_;
  int first_;
  int end_;
  MilpModel model_;
  std::vector<Layer> layers_;
  std::vector<Pair> pairs_;  // [column]
};

}  // namespace moesim
