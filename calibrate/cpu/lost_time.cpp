#include "calibrate/cpu/lost_time.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace moesim {
namespace {

// Reading the clocks takes part of a microsecond itself.
constexpr double k_clock_s = 0.5e-6;
constexpr double k_lost_share = 0.005;
constexpr std::size_t k_steal_column = 8;  // "cpu0 user nice system idle iowait irq softirq steal"

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::size_t end = std::min(line.find(' '), line.size());
    if (end > 0) {
      words.push_back(line.substr(0, end));
    }
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

std::int64_t whole(std::string_view word) {
  std::int64_t value = 0;
  std::from_chars(word.data(), word.data() + word.size(), value);
  return value;
}

}  // namespace

ThreadClockReader::ThreadClockReader()
    : schedstat_(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}

ThreadClockReader::~ThreadClockReader() {
  if (schedstat_ >= 0) {
    close(schedstat_);
  }
}

ThreadClock ThreadClockReader::read() const {
  ThreadClock clock;
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  clock.preempted = usage.ru_nivcsw;
  clock.waits = usage.ru_nvcsw;
  if (schedstat_ >= 0) {
    std::array<char, 96> text{};
    const ssize_t size = pread(schedstat_, text.data(), text.size(), 0);
    if (size > 0) {
      clock.delayed_s = parse_run_delay_s({text.data(), static_cast<std::size_t>(size)});
    }
  }
  timespec ran{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
  clock.processor_s = static_cast<double>(ran.tv_sec) + 1e-9 * static_cast<double>(ran.tv_nsec);
  return clock;
}

LostTime lost_between(const ThreadClock& before, const ThreadClock& after, double seconds) {
  LostTime lost;
  lost.preempted = after.preempted - before.preempted;
  lost.delayed_s = after.delayed_s - before.delayed_s;
  if (after.waits == before.waits) {
    const double ran = after.processor_s - before.processor_s;
    lost.stolen_s = std::max(0.0, seconds - ran - lost.delayed_s);
  }
  return lost;
}

bool is_undisturbed(const LostTime& lost, double seconds) {
  return lost.preempted == 0 &&
         lost.delayed_s + lost.stolen_s <= k_clock_s + k_lost_share * seconds;
}

double parse_run_delay_s(std::string_view schedstat) {
  const std::vector<std::string_view> words = words_of(schedstat);
  return words.size() < 2 ? 0.0 : 1e-9 * static_cast<double>(whole(words[1]));
}

std::int64_t parse_stolen_ticks(std::string_view stat, std::span<const int> processors) {
  std::int64_t ticks = 0;
  while (!stat.empty()) {
    const std::size_t end = std::min(stat.find('\n'), stat.size());
    const std::vector<std::string_view> words = words_of(stat.substr(0, end));
    stat.remove_prefix(std::min(end + 1, stat.size()));
    if (words.size() > k_steal_column && std::ranges::any_of(processors, [&](int processor) {
          return words[0] == "cpu" + std::to_string(processor);
        })) {
      ticks += whole(words[k_steal_column]);
    }
  }
  return ticks;
}

std::int64_t stolen_ticks(std::span<const int> processors) {
  std::ifstream in("/proc/stat");
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  return parse_stolen_ticks(text, processors);
}

}  // namespace moesim
