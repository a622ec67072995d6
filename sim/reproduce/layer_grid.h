// A layer as a chain of phases on streams, cut into chunks that follow each other through the chain
// (Tutel, PipeMoE, FSMoE), for every point of a grid of parameters. The event engine runs the
// tasks; the document gives each phase's time as an expression of the parameters and the degree r.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "models/kernels/kernel_model.h"
#include "sim/engine/exchange/algorithms/communication.h"
#include "sim/flow/backend.h"
#include "sim/reproduce/expression.h"

namespace moesim {

// Values of names in expressions.
using GridScope = std::map<std::string, double>;

// An all-to-all or gather; where several algorithms are named, the fastest.
struct GridExchange {
  std::vector<const CommAlgorithm*> algorithms;
  Expression devices;
  Expression bytes;
};

// A kernel, timed by the device's laws. Dimensions by name: gemm m, n, k, batch; experts rows (of
// each), experts, hidden, inter, matrices; memory read, written (bytes).
struct GridKernel {
  std::string op;
  std::map<std::string, Expression> dimensions;
};

struct GridPhase {
  std::string name;
  int stream = 0;
  // One of the three.
  std::optional<Expression> seconds{};
  std::optional<GridExchange> exchange{};
  std::optional<GridKernel> kernel{};
  bool chunked = true;  // r tasks of the time at degree r; else one, after all chunks before
  // Runs on its stream whenever no phase of the chain wants it, in so many equal slices, after all
  // of an earlier phase (-1: from the start). 0: part of the chain.
  int slices = 0;
  int after = -1;
};

struct GridPass {
  std::string name;
  std::vector<GridPhase> phases;
};

// Tasks of these streams that run at once share a capacity: 1, as if one after the other; as many
// as there are streams, no contention.
struct GridContention {
  std::vector<int> streams;
  double capacity = 1.0;
};

struct GridLet {
  std::string name;
  Expression value;
  bool of_degree = false;  // depends on r
};

struct LayerGrid {
  std::vector<std::pair<std::string, std::vector<double>>> over;
  std::vector<GridLet> lets;  // each after those that it uses
  std::vector<std::string> streams;
  std::vector<GridPass> passes;
  std::vector<int> degrees;
  bool own_degrees = true;  // each pass has the degree that is best for it; else one for all
  std::optional<GridContention> contention;
  std::optional<CommFabric> fabric;              // of exchanges
  std::shared_ptr<const KernelModel> kernels{};  // of kernels

  [[nodiscard]] std::size_t points() const;
};

// `fabric` and `kernels` are not set. Throws ConfigError("where/pointer", ...).
LayerGrid parse_layer_grid(const nlohmann::json& document, const std::string& where);

struct GridPassTime {
  int degree = 0;
  double seconds = 0.0;
};

struct GridPoint {
  GridScope values;  // parameters, and what is let of them
  std::vector<GridPassTime> passes;
  double seconds = 0.0;  // of all passes, one after the other
};

// Throws ConfigError(where, ...) for times that are negative or not finite.
GridPoint run_grid_point(const LayerGrid& grid, std::size_t point, const Backend& backend,
                         const std::string& where);

// The pass at one degree, in seconds.
double pass_seconds(const LayerGrid& grid, const GridPass& pass, int degree, GridScope scope,
                    const Backend& backend, const std::string& where);

}  // namespace moesim
