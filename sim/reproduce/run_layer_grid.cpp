#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/engine/device_peaks.h"
#include "sim/reproduce/layer_grid.h"
#include "sim/reproduce/run_kinds.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

bool any_phase(const LayerGrid& grid, bool (*has)(const GridPhase&)) {
  for (const GridPass& pass : grid.passes) {
    for (const GridPhase& phase : pass.phases) {
      if (has(phase)) {
        return true;
      }
    }
  }
  return false;
}

// What phases ask of the machine.
void set_machine(ConfigObject& root, const Library& library, LayerGrid& grid,
                 std::vector<std::string>& warnings) {
  const bool exchanges = any_phase(grid, [](const GridPhase& p) { return p.exchange.has_value(); });
  const bool kernels = any_phase(grid, [](const GridPhase& p) { return p.kernel.has_value(); });
  const Json* hardware = root.raw("hardware");
  if (hardware == nullptr) {
    if (exchanges || kernels) {
      root.fail("hardware", "is missing; phases have an exchange or a kernel");
    }
    return;
  }
  const auto loaded = library.cluster(*hardware, root.where("hardware"));
  warnings = loaded->warnings;
  grid.fabric =
      comm_fabric(loaded->cluster, root.non_negative<Seconds>("message_overhead", Seconds{}),
                  root.non_negative<Seconds>("copy_overhead", Seconds{}));
  const std::string wish = root.text_or("kernels", "auto");
  if (kernels) {
    grid.kernels =
        library.kernels(peaks_of(loaded->cluster.node.device),
                        KernelWishes{.by_operation = {{"default", wish}}}, root.where("kernels"));
  }
}

}  // namespace

RunReport run_layer_grid(const ScenarioDocument& document, const std::string& name,
                         const Library& library) {
  const std::string where = name + "#";
  LayerGrid grid = parse_layer_grid(document.json, where);
  ConfigObject root(document.json, where);
  std::vector<std::string> warnings = document.warnings;
  set_machine(root, library, grid, warnings);
  const auto backend = make_fast_backend();
  Json points = Json::array();
  for (std::size_t i = 0; i < grid.points(); ++i) {
    const GridPoint point = run_grid_point(grid, i, *backend, where);
    Json passes = Json::array();
    for (std::size_t p = 0; p < point.passes.size(); ++p) {
      passes.push_back({{"name", grid.passes[p].name},
                        {"degree", point.passes[p].degree},
                        {"seconds", point.passes[p].seconds}});
    }
    points.push_back(
        {{"values", point.values}, {"seconds", point.seconds}, {"passes", std::move(passes)}});
  }
  return {std::make_shared<const Json>(Json{{"points", std::move(points)}}), warnings};
}

}  // namespace moesim
