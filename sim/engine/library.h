// What simulations are built from, read once: catalogs of hardware and models, fitted profiles of
// kernels and communication, sources of routing.
#pragma once

#include <array>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "hardware/cluster.h"
#include "models/comm/comm_profile.h"
#include "models/kernels/kernel_library.h"
#include "models/network/moe_model.h"
#include "placement/placement.h"
#include "sim/core/shared_cache.h"
#include "sim/engine/catalog_folders.h"
#include "workloads/sources/expected_routing.h"
#include "workloads/sources/routing.h"

namespace moesim {

// `effective` is the document with every default and reference filled in.
struct LoadedCluster {
  Cluster cluster;
  std::shared_ptr<const nlohmann::json> effective;
  std::vector<std::string> warnings;
};
struct LoadedModel {
  MoeModel model;
  std::shared_ptr<const nlohmann::json> effective;
};

// Placements by expected loads: statistics, solver, seed, tokens, replicas, units, units per node.
using PlacementKey =
    std::tuple<const RoutingStatistics*, std::string, std::uint64_t, std::int64_t, int, int, int>;
using PlacementCache = SharedCache<PlacementKey, ExpertPlacement>;

// Reads a file when it is first needed and keeps what it said: a file that changes later is seen by
// the next library. Thread-safe; what it returns is immutable, shared, and outlives it. Every
// function throws ConfigError, with `where` for what is wrong with the reference and with the
// file's name for what is wrong in it.
class Library {
 public:
  explicit Library(CatalogFolders folders);

  // References as load_cluster and load_model take them.
  [[nodiscard]] std::shared_ptr<const LoadedCluster> cluster(const nlohmann::json& reference,
                                                             const std::string& where) const;
  [[nodiscard]] std::shared_ptr<const LoadedModel> model(const nlohmann::json& reference,
                                                         const std::string& where) const;
  // Laws are bound as a step asks for them (see make_kernel_model).
  [[nodiscard]] std::shared_ptr<const KernelModel> kernels(const DevicePeaks& device,
                                                           const KernelWishes& wishes,
                                                           const std::string& where) const;
  [[nodiscard]] std::shared_ptr<const std::vector<CommProfile>> comm_profiles() const;
  [[nodiscard]] std::shared_ptr<const RoutingSource> routing(const std::string& spec,
                                                             const RouterSpec& router,
                                                             const std::string& where) const;
  // What scenarios that differ in their batches alone place but once.
  [[nodiscard]] const std::shared_ptr<const PlacementCache>& placements() const {
    return placements_;
  }

 private:
  [[nodiscard]] std::shared_ptr<const KernelLibrary> kernel_library() const;

  CatalogFolders folders_;
  SharedCache<std::string, LoadedCluster> clusters_;
  SharedCache<std::string, LoadedModel> models_;
  SharedCache<int, KernelLibrary> kernel_library_;  // one
  SharedCache<std::pair<DevicePeaks, KernelWishes>, KernelModel> kernels_;
  SharedCache<int, std::vector<CommProfile>> comm_profiles_;  // one
  SharedCache<std::pair<std::string, std::array<int, 6>>, RoutingSource> routing_;
  std::shared_ptr<const PlacementCache> placements_ = std::make_shared<const PlacementCache>();
};

}  // namespace moesim
