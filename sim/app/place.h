// What `moesim place` does: where experts should go, how far from optimal that is, and what it is
// worth in a scenario.
#pragma once

#include <atomic>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "placement/formats/formats.h"
#include "placement/optimise.h"
#include "placement/programs/bit_allocation.h"
#include "sim/core/progress.h"
#include "sim/engine/catalog_folders.h"
#include "sim/engine/placement_problem.h"
#include "sim/engine/placement_verdict.h"
#include "sim/engine/scenario_file.h"

namespace moesim {

// What a document asks for: bits of experts, a placement of given loads, or one for a scenario.
enum class PlaceKind { bits, problem, scenario };
PlaceKind place_kind(const nlohmann::json& document);

struct PlacementExport {
  std::string format;  // moesim, sglang, trtllm, vllm-ascend or eplb
  std::string path;
};

struct PlaceOptions {
  std::string name = {};         // of the document, for messages: its path
  CatalogFolders catalogs = {};  // of scenarios
  std::string method = "auto";
  std::optional<CommModel> comm_model = {};  // default: the problem's, or what a scenario moves
  std::optional<ReplicaSplit> split = {};    // default: the problem's, or even
  std::optional<int> redundant = {};         // replicas per layer; default: the document's
  // Where results will be written: refused before the work if that cannot be. See
  // export_placement.
  std::vector<PlacementExport> exports = {};
  double time_limit_s = 0.0;     // of the search, and for problems of reading them; 0: none
  double already_spent_s = 0.0;  // of a problem's limit, before the call
  std::uint64_t seed = 1;        // of randomised methods
  int threads = 1;               // results do not depend on it
  const std::atomic<bool>* cancel = nullptr;  // once true, the best so far is returned
  // Of scenarios.
  std::int64_t statistics_tokens = 16'384;  // whose loads and traffic the solver sees
  double fit_share = 0.5;  // of a trace's requests that statistics come from; others are unseen
  bool simulate = false;   // steps under contiguous, EPLB's and the found placement
  int batches = 4;         // steps of each part
  Progress progress = {};  // of simulated steps
};

// Objectives of a placement on the tokens that it was fitted to and on others.
struct GeneralisationRow {
  std::string placement;  // "contiguous", "eplb" (where it applies), "found"
  double fitted = 0.0;
  double unseen = 0.0;
  // Shares of contiguous' objective that are saved; none for contiguous itself.
  std::optional<double> gain_fitted = {};
  std::optional<double> gain_unseen = {};
};

// Where a scenario's costs and statistics come from.
struct PlaceProvenance {
  std::string statistics;
  std::int64_t statistics_tokens = 0;
  std::string unseen;
  PlacementCosts costs;
  std::vector<std::string> preferred_files;
};

struct PlacedScenario {
  PlaceProvenance provenance;
  std::vector<GeneralisationRow> generalisation;
  bool decode = false;                // are steps times per output token?
  std::vector<VerdictRow> verdict;    // empty unless asked for
  std::vector<std::string> warnings;  // of how the files that the scenario names were read
};

struct PlaceResult {
  PlacementProblem problem;  // as it was solved
  PlacementResult found;
  std::uint64_t seed = 1;
  FormatOptions layers;  // devices and layers, as exports number them
  std::optional<PlacedScenario> scenario = {};
};

// Of a problem or a scenario. Throws ConfigError that names the document's pointer or, as the
// command line does, the option ("--method", "--export").
PlaceResult place(nlohmann::json document, const PlaceOptions& options);

// Throws ConfigError where the format cannot say what was found, std::system_error when the disk
// fails; the result is there all the same.
void export_placement(const PlaceResult& result, const PlacementExport& target);

// method, objective, lower_bound, gap, proven_optimal, wall_s, placement [layer][expert] -> device,
// replicas [layer][expert] -> devices where there are any, and slots, parts, bounds, seed, history
// (which depends on time and threads, as wall_s does), heat and traffic matrices beside the
// contiguous placement's; of scenarios provenance, generalisation and the verdict.
nlohmann::json to_json(const PlaceResult& result);

struct PlaceBitsResult {
  BitProblem problem;
  BitAllocation allocation;
};

// Of a document of the kind bits. Throws ConfigError, also for options that only placements have.
PlaceBitsResult place_bits(const nlohmann::json& document, const PlaceOptions& options);
nlohmann::json to_json(const PlaceBitsResult& result);

}  // namespace moesim
