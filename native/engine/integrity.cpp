#include "engine/integrity.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/sha256.h"

#ifdef _WIN32
#include <io.h>
#else
#include <unistd.h>
#endif

namespace sotto {
namespace {

constexpr size_t kPiece = 256 * 1024;  // stays in the second-level cache between being read and being hashed

[[noreturn]] void Unreadable(const std::string& path, const char* why) {
  throw Error(ErrorCode::kModelUnreadable, "Expected a readable file, " + path + ": " + why);
}

// Owns a descriptor; std::ifstream does not say why it failed.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : path_(path) {
#ifdef _WIN32
    const std::u8string name(path.begin(), path.end());
    descriptor_ = _wopen(std::filesystem::path(name).c_str(), _O_RDONLY | _O_BINARY | _O_SEQUENTIAL);
    struct _stat64 stats;
    const auto failed = [&] { return descriptor_ < 0 || _fstat64(descriptor_, &stats) != 0; };
#else
    // A FIFO without a writer would hold the thread for ever.
    descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat stats;
    const auto failed = [&] { return descriptor_ < 0 || fstat(descriptor_, &stats) != 0; };
#endif
    if (failed()) Fail(std::strerror(errno));
    if ((stats.st_mode & S_IFMT) != S_IFREG) Fail("not a regular file");
    bytes_ = uint64_t(stats.st_size);
#ifdef __linux__
    posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
#endif
  }
  ~OpenFile() { Close(); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  uint64_t bytes() const { return bytes_; }

  // 0 at the end.
  size_t Read(std::vector<uint8_t>& piece) {
    for (;;) {
#ifdef _WIN32
      const int count = _read(descriptor_, piece.data(), unsigned(piece.size()));
#else
      const ssize_t count = read(descriptor_, piece.data(), piece.size());
#endif
      if (count >= 0) return size_t(count);
      if (errno != EINTR) Unreadable(path_, std::strerror(errno));
    }
  }

 private:
  // The destructor of what was never constructed does not run.
  [[noreturn]] void Fail(const char* why) {
    Close();
    Unreadable(path_, why);
  }

  void Close() {
#ifdef _WIN32
    if (descriptor_ >= 0) _close(descriptor_);
#else
    if (descriptor_ >= 0) close(descriptor_);
#endif
    descriptor_ = -1;
  }

  const std::string path_;
  int descriptor_ = -1;
  uint64_t bytes_ = 0;
};

}  // namespace

FileDigest DigestFile(const std::string& path, const std::atomic<bool>& abort,
                      const std::function<void(float)>& report) {
  OpenFile file(path);
  Sha256 hash;
  std::vector<uint8_t> piece(kPiece);
  FileDigest digest;
  for (;;) {
    if (abort) throw Error(ErrorCode::kAborted, "Reading the file was aborted");
    const size_t count = file.Read(piece);
    if (count == 0) break;
    hash.Update(piece.data(), count);
    digest.bytes += count;
    // A file that grows while it is read is never more than whole.
    report(float(std::min(1.0, double(digest.bytes) / double(std::max<uint64_t>(1, file.bytes())))));
  }
  digest.sha256 = Hex(hash.Finish());
  return digest;
}

}  // namespace sotto
