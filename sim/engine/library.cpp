#include "sim/engine/library.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"

namespace moesim {
namespace {

// Of an inline object the place where it stands is part of what is loaded, for later messages.
std::string key_of(const nlohmann::json& reference, const std::string& where) {
  return reference.is_object() ? reference.dump() + where : reference.dump();
}

}  // namespace

Library::Library(CatalogFolders folders) : folders_(std::move(folders)) {}

std::shared_ptr<const LoadedCluster> Library::cluster(const nlohmann::json& reference,
                                                      const std::string& where) const {
  return clusters_.get(reference.dump(), [&] {
    auto loaded = std::make_shared<LoadedCluster>();
    nlohmann::json effective;
    loaded->cluster =
        load_cluster(reference, where, folders_.hardware, &effective, &loaded->warnings);
    loaded->effective = std::make_shared<nlohmann::json>(std::move(effective));
    return loaded;
  });
}

std::shared_ptr<const LoadedModel> Library::model(const nlohmann::json& reference,
                                                  const std::string& where) const {
  return models_.get(key_of(reference, where), [&] {
    auto loaded = std::make_shared<LoadedModel>();
    nlohmann::json effective;
    loaded->model = load_model(reference, where, folders_.models, &effective);
    loaded->effective = std::make_shared<nlohmann::json>(std::move(effective));
    return loaded;
  });
}

std::shared_ptr<const KernelLibrary> Library::kernel_library() const {
  return kernel_library_.get(
      0, [&] { return std::make_shared<KernelLibrary>(folders_.kernel_profiles); });
}

std::shared_ptr<const KernelModel> Library::kernels(const DevicePeaks& device,
                                                    const KernelWishes& wishes,
                                                    const std::string& where) const {
  return kernels_.get({device, wishes}, [&] {
    const auto library = kernel_library();
    for (const auto& [operation, wish] : wishes.by_operation) {
      if (!library->knows(wish)) {
        throw ConfigError(wishes.by_operation.size() == 1 ? where : where + "/" + operation,
                          "no kernel profile is of \"" + wish +
                              "\"; auto, or a framework or FRAMEWORK-VERSION of: " +
                              joined(library->frameworks()) + "; " + joined(library->versions()));
      }
    }
    return make_kernel_model(device, wishes, library);
  });
}

std::shared_ptr<const std::vector<CommProfile>> Library::comm_profiles() const {
  return comm_profiles_.get(0, [&] {
    return std::make_shared<std::vector<CommProfile>>(load_comm_profiles(folders_.comm_profiles));
  });
}

std::shared_ptr<const RoutingSource> Library::routing(const std::string& spec,
                                                      const RouterSpec& router,
                                                      const std::string& where) const {
  const std::array<int, 6> shape{router.layers, router.experts,    router.top_k,
                                 router.groups, router.top_groups, router.per_group_k};
  return routing_.get({spec, shape}, [&] {
    return make_routing_source(spec, router, folders_.routing_profiles, where);
  });
}

}  // namespace moesim
