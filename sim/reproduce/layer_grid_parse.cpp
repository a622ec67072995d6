#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/reproduce/layer_grid.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr std::string_view k_degree = "r";
constexpr std::size_t k_most_points = 1'000'000;

struct GridShape {
  std::string_view op;
  std::vector<std::string_view> dimensions;
};

const std::array<GridShape, 3>& kernel_shapes() {
  static const std::array<GridShape, 3> shapes{
      GridShape{"gemm", {"m", "n", "k", "batch"}},
      GridShape{"experts", {"rows", "experts", "hidden", "inter", "matrices"}},
      GridShape{"memory", {"read", "written"}}};
  return shapes;
}

class GridParser {
 public:
  GridParser(const Json& document, const std::string& where) : root_(document, where) {}

  LayerGrid parse() {
    parse_over();
    parse_lets();
    parse_degrees();
    for (ConfigObject pass : root_.objects("passes")) {
      grid_.passes.push_back(parse_pass(pass));
    }
    if (grid_.passes.empty()) {
      root_.fail("passes", "is empty; a list of {name, phases} is needed");
    }
    if (auto contention = root_.object_if("contention")) {
      parse_contention(*contention);
    }
    // Read by who builds the grid's machine.
    for (const char* key : {"hardware", "message_overhead", "copy_overhead", "kernels"}) {
      root_.raw(key);
    }
    root_.reject_unknown_keys();
    return std::move(grid_);
  }

 private:
  void parse_over() {
    if (auto over = root_.object_if("over")) {
      for (const std::string& name : over->keys()) {
        constexpr double widest = 1e15;
        grid_.over.emplace_back(name, over->numbers(name, -widest, widest));
        if (grid_.over.back().second.empty()) {
          over->fail(name, "is an empty list; give the parameter's values");
        }
        add_name(name, over->where(name));
      }
    }
    if (grid_.points() > k_most_points) {
      root_.fail("over", "has more than " + std::to_string(k_most_points) + " points");
    }
  }

  void add_name(const std::string& name, const std::string& where) {
    if (name == k_degree || !names_.insert(name).second) {
      throw ConfigError(where, name == k_degree ? "r is the degree; take another name"
                                                : "\"" + name + "\" stands twice; keep one");
    }
  }

  // In an order in which each stands after what it uses.
  void parse_lets() {
    auto lets = root_.object_if("let");
    if (!lets) {
      return;
    }
    std::map<std::string, Expression> open;
    for (const std::string& name : lets->keys()) {
      open.emplace(name, expression(*lets, name));
    }
    std::set<std::string> of_degree;
    while (!open.empty()) {
      const auto ready = std::ranges::find_if(open, [&](const auto& let) {
        return std::ranges::all_of(let.second.names(), [&](const std::string& used) {
          return used == k_degree || names_.contains(used);
        });
      });
      if (ready == open.end()) {
        const auto& [name, value] = *open.begin();
        lets->fail(name, "uses itself or what is neither under over nor under let: " +
                             joined(value.names()));
      }
      const bool depends = std::ranges::any_of(ready->second.names(), [&](const std::string& used) {
        return used == k_degree || of_degree.contains(used);
      });
      if (depends) {
        of_degree.insert(ready->first);
      }
      add_name(ready->first, lets->where(ready->first));
      grid_.lets.push_back({ready->first, ready->second, depends});
      open.erase(ready);
    }
  }

  void parse_degrees() {
    constexpr std::int64_t most = 64;
    constexpr std::array<std::string_view, 2> choices{"own", "shared"};
    for (const std::int64_t degree : root_.integers("degrees", 1, most)) {
      grid_.degrees.push_back(static_cast<int>(degree));
    }
    if (grid_.degrees.empty()) {
      root_.fail("degrees", "is empty; [1] is no pipelining");
    }
    grid_.own_degrees = root_.choice_or("degree", "own", choices) == "own";
  }

  // Text, or a number.
  static Expression expression(ConfigObject& object, const std::string& key) {
    const Json* value = object.raw(key);
    if (value == nullptr || (!value->is_string() && !value->is_number())) {
      object.fail(key, "is no expression such as \"alpha + beta * n / r\", and no number");
    }
    return {value->is_string() ? value->get<std::string>() : value->dump(), object.where(key)};
  }

  Expression timed(ConfigObject& object, const std::string& key) {
    Expression result = expression(object, key);
    for (const std::string& name : result.names()) {
      if (name != k_degree && !names_.contains(name)) {
        object.fail(key, "uses \"" + name + "\", which is neither r nor among: " +
                             joined(std::vector<std::string>(names_.begin(), names_.end())));
      }
    }
    return result;
  }

  int stream(const std::string& name) {
    const auto found = std::ranges::find(grid_.streams, name);
    if (found == grid_.streams.end()) {
      grid_.streams.push_back(name);
      return static_cast<int>(grid_.streams.size()) - 1;
    }
    return static_cast<int>(found - grid_.streams.begin());
  }

  GridExchange parse_exchange(ConfigObject object) {
    std::vector<const CommAlgorithm*> algorithms;
    for (const std::string& name : object.texts("fastest_of")) {
      algorithms.push_back(&comm_algorithm(name, object.where("fastest_of")));
    }
    if (algorithms.empty()) {
      object.fail("fastest_of", "is empty; name an algorithm");
    }
    GridExchange exchange{std::move(algorithms), timed(object, "devices"), timed(object, "bytes")};
    object.reject_unknown_keys();
    return exchange;
  }

  GridKernel parse_kernel(ConfigObject object) {
    std::vector<std::string_view> ops;
    for (const GridShape& shape : kernel_shapes()) {
      ops.push_back(shape.op);
    }
    GridKernel kernel{.op = object.choice("op", ops), .dimensions = {}};
    const auto shape = std::ranges::find(kernel_shapes(), kernel.op, &GridShape::op);
    for (const std::string_view dimension : shape->dimensions) {
      kernel.dimensions.emplace(dimension, timed(object, std::string(dimension)));
    }
    object.reject_unknown_keys();
    return kernel;
  }

  GridPhase parse_phase(ConfigObject& object, const GridPass& pass) {
    GridPhase phase{.name = object.text("name"), .stream = stream(object.text("stream"))};
    if (object.has("seconds")) {
      phase.seconds = timed(object, "seconds");
    }
    if (auto exchange = object.object_if("exchange")) {
      phase.exchange = parse_exchange(*exchange);
    }
    if (auto kernel = object.object_if("kernel")) {
      phase.kernel = parse_kernel(*kernel);
    }
    const int given = (phase.seconds ? 1 : 0) + (phase.exchange ? 1 : 0) + (phase.kernel ? 1 : 0);
    if (given != 1) {
      object.fail("seconds", "or exchange or kernel: exactly one of the three is needed");
    }
    phase.chunked = object.boolean_or("chunked", true);
    if (auto background = object.object_if("background")) {
      constexpr std::int64_t most = 1000;
      phase.slices = static_cast<int>(background->integer_or("slices", 1, 1, most));
      if (background->has("after")) {
        const auto before =
            std::ranges::find(pass.phases, background->text("after"), &GridPhase::name);
        if (before == pass.phases.end()) {
          background->fail("after", "names no earlier phase of the pass");
        }
        phase.after = static_cast<int>(before - pass.phases.begin());
      }
      background->reject_unknown_keys();
    }
    object.reject_unknown_keys();
    return phase;
  }

  GridPass parse_pass(ConfigObject& object) {
    GridPass pass{.name = object.text("name"), .phases = {}};
    for (ConfigObject phase : object.objects("phases")) {
      pass.phases.push_back(parse_phase(phase, pass));
    }
    if (pass.phases.empty()) {
      object.fail("phases", "is empty; a list of {name, stream, seconds} is needed");
    }
    object.reject_unknown_keys();
    return pass;
  }

  void parse_contention(ConfigObject object) {
    GridContention contention;
    for (const std::string& name : object.texts("streams")) {
      const auto found = std::ranges::find(grid_.streams, name);
      if (found == grid_.streams.end()) {
        object.fail("streams",
                    "\"" + name + "\" is no phase's stream; there are: " + joined(grid_.streams));
      }
      contention.streams.push_back(static_cast<int>(found - grid_.streams.begin()));
    }
    contention.capacity = object.number(
        "capacity", 1, std::max<double>(1, static_cast<double>(contention.streams.size())));
    object.reject_unknown_keys();
    grid_.contention = contention;
  }

  ConfigObject root_;
  LayerGrid grid_;
  std::set<std::string> names_;
};

}  // namespace

LayerGrid parse_layer_grid(const Json& document, const std::string& where) {
  return GridParser(document, where).parse();
}

}  // namespace moesim
