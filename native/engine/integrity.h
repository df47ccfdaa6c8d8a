// integrity.h: what a file's bytes are, before they are trusted: its SHA-256, read in pieces that fit a core's cache. On the caller's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace sotto {

struct FileDigest {
  std::string sha256;  // hex
  uint64_t bytes = 0;
};

// Reads to the end of what `path` names. `report` hears a fraction after every piece, `abort` is looked at before. Throws Error:
// kAborted, kModelUnreadable (also: no regular file; it does not wait for one).
FileDigest DigestFile(const std::string& path, const std::atomic<bool>& abort,
                      const std::function<void(float)>& report);

}  // namespace sotto
