#include "base/mapped-files.h"

#include <atomic>
#include <utility>

#ifdef __linux__
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string_view>
#endif

namespace sotto {

struct MappedFiles::File {
  explicit File(std::string name) : path(std::move(name)) { Resolve(); }
  void Resolve();
  // The path as the system has it, from the first time that it leads somewhere: what was opened then stays mapped, wherever the name leads later.
  std::string path;
  bool found = false;
  std::atomic<bool> damaged{false};
};

const char* MappedFiles::damaged() const {
  for (const auto& file : files_) {
    if (file->damaged.load(std::memory_order_relaxed)) return file->path.c_str();
  }
  return nullptr;
}

#ifdef __linux__
namespace {

struct Mapping {
  uintptr_t begin;
  uintptr_t end;
  bool writable;
  std::string path;
};

// /proc/self/maps: "begin-end perms offset dev inode   path", the path as it is now, with " (deleted)" behind it where it is no more.
std::vector<Mapping> Mappings() {
  std::vector<Mapping> mappings;
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(fopen("/proc/self/maps", "re"), fclose);
  char* line = nullptr;
  size_t room = 0;
  while (maps && getline(&line, &room, maps.get()) > 0) {
    unsigned long begin = 0, end = 0;
    char permissions[5] = {};
    int path = 0;
    if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %n", &begin, &end, permissions, &path) < 3 || line[path] != '/') continue;
    std::string_view name(line + path);
    while (name.ends_with('\n')) name.remove_suffix(1);
    if (constexpr std::string_view gone = " (deleted)"; name.ends_with(gone)) name.remove_suffix(gone.size());
    mappings.push_back({begin, end, permissions[1] == 'w', std::string(name)});
  }
  free(line);
  return mappings;
}

std::string RealPath(const std::string& path, bool* found = nullptr) {
  const std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), free);
  if (found) *found = real != nullptr;
  return real ? real.get() : path;
}

// What the signal handler reads: no lock, no allocation. A slot belongs to one file of one MappedFiles.
struct Slot {
  std::atomic<uintptr_t> begin, end;
  std::atomic<std::atomic<bool>*> damaged;
};
constexpr int kSlots = 4096;  // a model has a mapping or two a shard
Slot slots[kSlots];
std::atomic<int> slots_used{0};

std::mutex mutex;
MappedFiles* living = nullptr;  // under mutex, like the writing of slots
struct sigaction before;        // written once, before the handler can run

// The end is cleared first, and written last: a handler on another thread sees all of a slot or nothing.
void Clear(Slot& slot) {
  slot.end = 0;
  slot.begin = 0;
  slot.damaged = nullptr;
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  const auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  uintptr_t end = 0;
  const int used = slots_used;
  for (int i = 0; i < used; ++i) {
    const uintptr_t slot_end = slots[i].end;
    if (at < slots[i].begin || at >= slot_end) continue;
    if (std::atomic<bool>* damaged = slots[i].damaged) *damaged = true;
    end = std::max(end, slot_end);
  }
  const uintptr_t page = at & ~(uintptr_t(sysconf(_SC_PAGESIZE)) - 1);
  // Behind a page that is gone there is nothing left either: one mapping of zeros, not one a page.
  if (end && mmap(reinterpret_cast<void*>(page), end - page, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED) {
    return;
  }
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  } else {
    sigaction(SIGBUS, &before, nullptr);
    raise(SIGBUS);  // arrives when this handler ends, and ends the process, as the first would have
  }
}

void CatchBusErrors() {
  static bool done = false;  // under mutex
  if (std::exchange(done, true)) return;
  sigaction(SIGBUS, nullptr, &before);
  struct sigaction ours = {};
  ours.sa_sigaction = OnBusError;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigaction(SIGBUS, &ours, nullptr);
}

}  // namespace

void MappedFiles::File::Resolve() {
  if (!found) path = RealPath(path, &found);
}

MappedFiles::MappedFiles(std::vector<std::string> paths) {
  for (std::string& path : paths) files_.push_back(std::make_unique<File>(std::move(path)));
  const std::lock_guard lock(mutex);
  CatchBusErrors();
  next_ = std::exchange(living, this);
}

MappedFiles::~MappedFiles() {
  {
    const std::lock_guard lock(mutex);
    MappedFiles** at = &living;
    while (*at != this) at = &(*at)->next_;
    *at = next_;
  }
  Find();  // for the others: an address of ours may be somebody else's by now
}

void MappedFiles::Find() {
  const std::lock_guard lock(mutex);
  const std::vector<Mapping> mappings = Mappings();
  int used = 0;
  const int used_before = slots_used;
  for (MappedFiles* owner = living; owner; owner = owner->next_) {
    for (const auto& file : owner->files_) {
      file->Resolve();
      for (const Mapping& mapping : mappings) {
        if (mapping.path != file->path || used == kSlots) continue;
        Slot& slot = slots[used++];
        if (slot.begin == mapping.begin && slot.end == mapping.end && slot.damaged == &file->damaged) continue;
        Clear(slot);
        slot.damaged = &file->damaged;
        slot.begin = mapping.begin;
        slot.end = mapping.end;
      }
    }
  }
  slots_used = std::max(used, used_before);
  for (int i = used; i < used_before; ++i) Clear(slots[i]);
  slots_used = used;
}

bool MappedFiles::Bring(const std::string& path) {
#ifndef MADV_POPULATE_READ
  constexpr int MADV_POPULATE_READ = 22;  // Linux 5.14
#endif
  constexpr uintptr_t kPiece = 8 << 20;  // others want to change the address space too
  const std::string real = RealPath(path);
  bool found = false;
  for (const Mapping& mapping : Mappings()) {
    if (mapping.path != real) continue;
    found = true;
    for (uintptr_t at = mapping.begin; at < mapping.end; at += kPiece) {
      if (madvise(reinterpret_cast<void*>(at), std::min(kPiece, mapping.end - at), MADV_POPULATE_READ) != 0) break;
    }
  }
  return found;
}

void MappedFiles::LetGo(const std::string& path) {
  const std::string real = RealPath(path);
  for (const Mapping& mapping : Mappings()) {
    // What could be written to may hold what the file does not.
    if (mapping.path != real || mapping.writable) continue;
    madvise(reinterpret_cast<void*>(mapping.begin), mapping.end - mapping.begin, MADV_DONTNEED);
  }
}

#else

void MappedFiles::File::Resolve() {}
MappedFiles::MappedFiles(std::vector<std::string> paths) {
  for (std::string& path : paths) files_.push_back(std::make_unique<File>(std::move(path)));
}
MappedFiles::~MappedFiles() = default;
void MappedFiles::Find() {}
bool MappedFiles::Bring(const std::string&) { return false; }
void MappedFiles::LetGo(const std::string&) {}

#endif

}  // namespace sotto
