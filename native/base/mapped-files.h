// mapped-files.h: where this process has mapped certain files, and what to do about their pages. Linux; elsewhere nothing is found, brought or guarded.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace sotto {

// Whoever cuts a mapped file short turns the next look at its pages into SIGBUS, which ends the process. While a MappedFiles lives, pages of its files that
// cannot be read become zeros instead, and `damaged` names the file: what was computed since is worth nothing, but everybody can be told. A SIGBUS
// anywhere else goes to whoever had the signal before.
class MappedFiles {
 public:
  explicit MappedFiles(std::vector<std::string> paths);
  ~MappedFiles();  // after the files are unmapped, or their pages are nobody's
  MappedFiles(const MappedFiles&) = delete;
  MappedFiles& operator=(const MappedFiles&) = delete;

  // Looks for mappings of the files in the whole process. To be called again when more may be there. About a millisecond.
  void Find();

  // A file that could not be read where it is mapped, or null. Any thread, at no cost worth naming.
  const char* damaged() const;

  // Brings every page of the file into memory and this process's tables. False: there is no mapping of it.
  static bool Bring(const std::string& path);
  // Takes the pages of the file out of this process's tables: the system keeps them while it has room.
  static void LetGo(const std::string& path);

 private:
  struct File;
  std::vector<std::unique_ptr<File>> files_;
  MappedFiles* next_ = nullptr;  // of all that live
};

}  // namespace sotto
