// Continuous batching: a step is submitted when the one before has ended, with the requests that
// have arrived by then.
#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "sim/flow/live_run.h"

namespace moesim::test {
namespace {

constexpr int tokens_per_request = 10;
constexpr double fixed_s = 8e-3;
constexpr double per_request_s = 1e-3;

// Advances to arrivals and ends of steps, whichever is first.
class Server {
 public:
  explicit Server(std::vector<double> arrivals_s)
      : arrivals_s_(std::move(arrivals_s)),
        device_(run.add_resource({"device", ResourceKind::compute, 1.0})) {}

  void serve() {
    while (next_ < arrivals_s_.size() || !left_.empty()) {
      if (left_.empty() && next_ < arrivals_s_.size()) {
        run.advance(arrivals_s_[next_]);
        admit();
      }
      const TaskId step = submit_step();
      while (!run.has_ended(step)) {
        const bool more = next_ < arrivals_s_.size();
        if (more ? run.advance(arrivals_s_[next_]).empty() : run.advance().empty()) {
          admit();
        }
      }
      for (int& left : left_) {
        tokens += 1;
        left -= 1;
      }
      std::erase(left_, 0);
      left_.insert(left_.end(), arrived_, tokens_per_request);
      arrived_ = 0;
    }
  }

  LiveRun run;
  int steps = 0;
  int tokens = 0;

 private:
  void admit() {
    ++next_;
    // Arrivals during a step join the next one.
    (steps > 0 && run.unfinished() > 0 ? arrived_ += 1 : (left_.push_back(tokens_per_request), 0));
  }
  TaskId submit_step() {
    const ProgramId program = run.begin_program();
    run.add_segment(fixed_s, std::vector<Need>{{device_, per_request_s * double(left_.size())}});
    ++steps;
    return run.submit({.program = program});
  }

  std::vector<double> arrivals_s_;
  std::int32_t device_;
  std::size_t next_ = 0;
  std::size_t arrived_ = 0;
  std::vector<int> left_;
};

TEST_CASE("a request that arrives during a step joins the next one", "[flow][interface]") {
  Server server({1.0, 1.0 + 1e-3});
  server.serve();
  // Alone 9 ms, nine steps of two at 10 ms, alone again.
  CHECK(server.steps == 11);
  CHECK(server.run.now_s() == Approx(1.0 + 9e-3 + 9 * 10e-3 + 9e-3));
}

TEST_CASE("thousands of steps are served, none lost", "[flow][interface]") {
  std::vector<double> arrivals_s;
  for (int i = 0; i < 2000; ++i) {
    arrivals_s.push_back(0.03 * i);
  }
  Server server(arrivals_s);
  server.serve();
  CHECK(server.tokens == 2000 * tokens_per_request);
  CHECK(server.steps > 4000);
  CHECK(server.run.unfinished() == 0);
}

}  // namespace
}  // namespace moesim::test
