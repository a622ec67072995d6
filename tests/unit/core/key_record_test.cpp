#include "sim/core/key_record.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {

TEST_CASE("keys that were given and do not matter are named once", "[core][unit]") {
  const nlohmann::json document{
      {"a", 1}, {"b", {{"c", 2}, {"d", "x"}}}, {"list", {{{"e", 3}}, {{"e", 4}}}}};
  KeyRecord record;
  ConfigObject root(document, "s.json#", nullptr, &record);
  root.integer("a", 0);
  root.integer_or("absent", 7, 0);
  ConfigObject inner = root.object("b");
  inner.integer("c", 0);
  inner.text_or("d", "y");
  inner.reject_unknown_keys();
  for (ConfigObject& element : root.objects("list")) {
    element.integer("e", 0);
  }
  root.reject_unknown_keys();
  for (const char* where : {"s.json#/a", "s.json#/b", "s.json#/b/c", "s.json#/b/d", "s.json#/list",
                            "s.json#/list/0/e", "s.json#/list/1/e"}) {
    CHECK(record.is_given(where));
  }
  CHECK_FALSE(record.is_given("s.json#/absent"));
  CHECK(record.warnings().empty());

  record.unused("s.json#/absent", "nobody asks");
  CHECK(record.warnings().empty());
  record.unused("s.json#/b/d", "nobody asks");
  record.unused("s.json#/list/1/e", "the list is short");
  record.unused("s.json#/a", "nobody asks");
  record.unused("s.json#/a", "another reason");
  CHECK(record.warnings() ==
        std::vector<std::string>{"/a, /b/d have no effect: nobody asks",
                                 "/list/1/e has no effect: the list is short"});
}

}  // namespace moesim
