// Files that commands write: complete, or not there.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moesim {

// A file descriptor that is closed at the end; -1: none.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] int release();

 private:
  int number_;
};

// One file that is being written. Under its name nothing changes before finish(), which renames:
// after an error, a signal or a lost machine there is the old file or the new one. What the path
// leads to over symbolic links is replaced, not the link. What is no regular file (/dev/stdout, a
// pipe, /dev/null) is written through. All members throw std::system_error that names the path.
class OutputFile {
 public:
  // `rewritten`: rewrite() will be called, which no pipe can do; a file without a name takes what
  // is written, and finish() copies it.
  enum class Order { forward, rewritten };
  explicit OutputFile(std::string path, Order order = Order::forward);
  ~OutputFile();  // without finish(): as if nothing had been written
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string_view bytes);
  // Replaces bytes that were written before.
  void rewrite(std::uint64_t offset, std::string_view bytes);
  void finish();

 private:
  [[noreturn]] void fail() const;  // with errno
  void open_direct(const std::string& target, Order order);
  void open_temporary();
  void flush();
  void write_all(int descriptor, std::string_view bytes) const;
  void copy_to_direct();
  void take_name();

  std::string path_;       // as given, for messages
  std::string target_;     // behind all links; empty: written through
  std::string temporary_;  // empty: the file has no name yet
  Descriptor file_;
  Descriptor direct_;  // rewritten only: where file_ goes in the end
  std::string buffer_;
};

void write_text_file(const std::string& path, std::string_view text);

// A file of a command, and what names it there ("--out", "scenario").
struct NamedFile {
  std::string name;
  std::string path;
  std::string suffix = {};  // of a folder that is read: only its files that end so; empty: all
};

// To be called before the work: throws ConfigError if an output's folder does not exist, if it is a
// folder itself, if two outputs are one file, or if one is an input or an existing file in a folder
// that is an input. Empty paths are skipped. Throws std::system_error if it may not be written.
void check_outputs(std::span<const NamedFile> outputs, std::span<const NamedFile> inputs);

}  // namespace moesim
