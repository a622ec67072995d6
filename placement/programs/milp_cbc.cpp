// CBC behind milp_model.h. Its own time limit is soft (linear programs and cut loops run on), so
// event handlers of CBC and of Clp ask the run whether to go on.
#include <CbcConfig.h>

#include <CbcEventHandler.hpp>
#include <CbcModel.hpp>
#include <CbcSolver.hpp>
#include <ClpEventHandler.hpp>
#include <ClpSimplex.hpp>
#include <CoinPackedMatrix.hpp>
#include <OsiClpSolverInterface.hpp>
#include <algorithm>
#include <cmath>
#include <mutex>
#include <string>
#include <vector>

#include "placement/programs/milp_model.h"

namespace moesim {
namespace {

// Shared by all clones of the handlers.
struct Watch {
  const SolverRun& run;
  double end;  // of run.seconds()
  bool stopped = false;
  double bound = -k_unbounded;  // the last one before the stop, in scaled costs
  bool searching = true;

  bool should_stop() {
    stopped = stopped || run.stopped() || run.seconds() >= end;
    return stopped;
  }
};

class CbcWatch : public CbcEventHandler {
 public:
  explicit CbcWatch(Watch* watch) : watch_(watch) {}
  CbcAction event(CbcEvent which) override {
    const bool own = model_ != nullptr && model_->parentModel() == nullptr;
    if (which == endSearch && own) {
      watch_->searching = false;
    }
    if (watch_->should_stop()) {
      return stop;
    }
    // Heuristics run small searches of their own, whose bounds bind nothing.
    if (which == node && own) {
      watch_->bound = std::max(watch_->bound, model_->getBestPossibleObjValue());
    }
    return noAction;
  }
  CbcAction event(CbcEvent which, void* /*data*/) override { return event(which); }
  [[nodiscard]] CbcEventHandler* clone() const override { return new CbcWatch(*this); }

 private:
  Watch* watch_;
};

class ClpWatch : public ClpEventHandler {
 public:
  explicit ClpWatch(Watch* watch) : watch_(watch) {}
  int event(Event which) override {
    // What comes after the search is short, and CBC does not survive its interruption.
    return which == endOfFactorization && watch_->searching && watch_->should_stop() ? 0 : -1;
  }
  [[nodiscard]] ClpEventHandler* clone() const override { return new ClpWatch(*this); }

 private:
  Watch* watch_;
};

int no_callback(CbcModel* /*model*/, int /*where_from*/) { return 0; }

std::string column_name(std::size_t column) { return "c" + std::to_string(column); }

void load(const MilpModel& model, double scale, OsiClpSolverInterface& solver) {
  std::vector<int> rows;
  std::vector<int> columns;
  std::vector<double> factors;
  std::vector<double> least;
  std::vector<double> most;
  for (const MilpModel::Row& row : model.rows) {
    for (const MilpTerm& term : row.terms) {
      rows.push_back(static_cast<int>(least.size()));
      columns.push_back(term.column);
      factors.push_back(term.factor);
    }
    least.push_back(std::isinf(row.lower) ? -COIN_DBL_MAX : row.lower);
    most.push_back(std::isinf(row.upper) ? COIN_DBL_MAX : row.upper);
  }
  CoinPackedMatrix matrix(true, rows.data(), columns.data(), factors.data(),
                          static_cast<CoinBigIndex>(factors.size()));
  matrix.setDimensions(static_cast<int>(model.rows.size()), model.columns());
  std::vector<double> lower = model.lower;
  std::vector<double> upper = model.upper;
  std::vector<double> cost = model.cost;
  for (std::size_t c = 0; c < cost.size(); ++c) {
    lower[c] = std::isinf(lower[c]) ? -COIN_DBL_MAX : lower[c];
    upper[c] = std::isinf(upper[c]) ? COIN_DBL_MAX : upper[c];
    cost[c] *= scale;
  }
  solver.loadProblem(matrix, lower.data(), upper.data(), cost.data(), least.data(), most.data());
  // Starts are given by name. Rows need names as soon as columns have some: Clp's presolve reads
  // them unasked (coin-or/Cbc#515, a crash).
  solver.setIntParam(OsiNameDiscipline, 1);
  for (std::size_t r = 0; r < model.rows.size(); ++r) {
    solver.setRowName(static_cast<int>(r), "r" + std::to_string(r));
  }
  for (std::size_t c = 0; c < cost.size(); ++c) {
    solver.setColName(static_cast<int>(c), column_name(c));
    if (model.integer[c] != 0) {
      solver.setInteger(static_cast<int>(c));
    }
  }
}

std::vector<std::string> arguments_for(const MilpLimits& limits, const SolverRun& run, double end) {
  std::vector<std::string> arguments{"moesim", "-log",          "0", "-slog", "0", "-ratioGap",
                                     "0",      "-allowableGap", "0"};
  const auto add = [&](const char* name, const std::string& value) {
    arguments.emplace_back(name);
    arguments.push_back(value);
  };
  add("-randomSeed", std::to_string(1 + run.options().seed % 1'000'000));
  add("-randomCbcSeed", std::to_string(1 + run.options().seed % 1'000'000));
  add("-maxNodes", std::to_string(std::clamp<std::int64_t>(limits.nodes, 0, 2'000'000'000)));
  if (std::isfinite(end)) {
    add("-timeMode", "elapsed");
    add("-seconds", std::to_string(std::max(0.01, end - run.seconds())));
  }

  // Assertions of Clp have been seen to fail in the feasibility pump; programs here have starts.
  add("-feasibilityPump", "off");
  // An interrupted search has crashed in the step that undoes preprocessing (once in 500 programs).
  add("-preprocess", "off");
  arguments.emplace_back("-solve");
  arguments.emplace_back("-quit");
  return arguments;
}

void set_start(const MilpModel& model, CbcModel& cbc) {
  if (!model.feasible(model.start, k_milp_tolerance)) {
    return;
  }
  std::vector<std::pair<std::string, double>> start;
  for (std::size_t c = 0; c < model.start.size(); ++c) {
    if (model.integer[c] != 0) {
      start.emplace_back(column_name(c), std::round(model.start[c]));
    }
  }
  std::vector<const char*> names;
  std::vector<double> values;
  for (const auto& [name, value] : start) {
    names.push_back(name.c_str());
    values.push_back(value);
  }
  cbc.setMIPStart(static_cast<int>(names.size()), names.data(), values.data());
}

}  // namespace

MilpResult solve_milp(const MilpModel& model, const MilpLimits& limits, const SolverRun& run) {
  // CBC reads its arguments through global variables: simulations that run side by side would read
  // each other's.
  static std::mutex one_at_a_time;
  const std::scoped_lock lock(one_at_a_time);
  MilpResult result;
  offer_candidate(model, model.start, result);
  Watch watch{run, std::min(run.seconds() + limits.seconds, run.options().time_limit_s)};
  if (watch.should_stop()) {
    return result;
  }
  const double scale = cost_scale(model);
  OsiClpSolverInterface solver;
  solver.messageHandler()->setLogLevel(0);
  solver.getModelPtr()->setLogLevel(0);
  load(model, scale, solver);
  ClpWatch clp_watch(&watch);
  solver.getModelPtr()->passInEventHandler(&clp_watch);

  CbcModel cbc(solver);
  CbcSolverUsefulData data;
  data.noPrinting_ = true;
  CbcMain0(cbc, data);
  cbc.setLogLevel(0);
  CbcWatch cbc_watch(&watch);
  cbc.passInEventHandler(&cbc_watch);
  set_start(model, cbc);
  const std::vector<std::string> arguments = arguments_for(limits, run, watch.end);
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(argument.c_str());
  }
  CbcMain1(static_cast<int>(argv.size()), argv.data(), cbc, no_callback, data);

  result.nodes = cbc.getNodeCount();
  if (const double* best = cbc.bestSolution(); best != nullptr) {
    offer_candidate(model, {best, best + model.columns()}, result);
  }
  // What a linear program that was cut short makes CBC believe is no proof.
  const bool solved = !watch.stopped && cbc.status() == 0;
  if (solved && cbc.isProvenInfeasible() && result.values.empty()) {
    result.status = MilpStatus::infeasible;
    result.bound = k_unbounded;
    return result;
  }
  const double proven = (watch.stopped ? watch.bound : cbc.getBestPossibleObjValue()) / scale;
  if (!std::isfinite(proven) || std::abs(proven) > 1e45) {
    return result;
  }
  result.bound = std::min(proven, result.objective);
  if (solved && cbc.isProvenOptimal() && !result.values.empty()) {
    result.bound = result.objective;
    result.status = MilpStatus::optimal;
  }
  result.bound -= k_milp_tolerance * (std::abs(result.bound) + 1.0 / scale);
  return result;
}

std::string_view milp_solver_name() { return "CBC " CBC_VERSION; }

}  // namespace moesim
