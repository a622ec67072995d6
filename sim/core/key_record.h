// Which keys a document gives, and which of those say nothing in it.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

// One per document. ConfigObject tells it of every key that is there and was read (keys that nobody
// reads are errors); whoever finds out that the value of a key will not matter says so.
class KeyRecord {
 public:
  // `where` as ConfigObject::where has it: "file.json#/pointer".
  void given(std::string where) { given_.insert(std::move(where)); }
  [[nodiscard]] bool is_given(const std::string& where) const { return given_.contains(where); }

  // The value does not matter, because of `reason`. Nothing happens where the key is not given: a
  // default that does not matter is nobody's mistake. The first reason counts.
  void unused(const std::string& where, std::string_view reason);

  // One sentence per reason, in the order in which reasons came, with the JSON pointers, sorted.
  [[nodiscard]] std::vector<std::string> warnings() const;

 private:
  struct Idle {
    std::string reason;
    std::set<std::string> keys;
  };
  std::set<std::string> given_;
  std::vector<Idle> idle_;
};

}  // namespace moesim
