#include "base/log.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

namespace sotto {
namespace {

constexpr size_t kMostCaptured = 4096;

LogLevel InitialLevel() {
  const char* name = std::getenv("SOTTO_LOG");
  if (!name) return LogLevel::kError;
  constexpr const char* kNames[] = {"debug", "info", "warn", "error", "silent"};
  for (int i = 0; i < 5; ++i) {
    if (std::strcmp(name, kNames[i]) == 0) return static_cast<LogLevel>(i);
  }
  return LogLevel::kError;
}

std::atomic<LogLevel>& Level() {
  static std::atomic<LogLevel> level{InitialLevel()};
  return level;
}

// Upstream writes a line in pieces (level 5, "continue"); a piece has the level of the one before it on the same
// thread.
thread_local LogLevel last_level = LogLevel::kInfo;
thread_local std::string* captured = nullptr;
thread_local const std::function<void(const char*)>* listening = nullptr;

void Write(LogLevel level, const char* text) {
  if (captured && level >= LogLevel::kWarn) {
    if (level == LogLevel::kError && captured->size() < kMostCaptured) *captured += text;
    if (Level() > LogLevel::kDebug) return;  // who captures says it in an error message
  }
  if (level < Level()) return;
  std::fputs(text, stderr);
}

}  // namespace

void SetLogLevel(LogLevel level) { Level() = level; }
LogLevel GetLogLevel() { return Level(); }
void Log(LogLevel level, const std::string& line) { Write(level, ("sotto: " + line + "\n").c_str()); }

LogCapture::LogCapture() : outer_(captured) { captured = &text_; }
LogCapture::~LogCapture() { captured = outer_; }

std::string LogCapture::text() const {
  std::string joined;
  for (const char c : text_) {
    if (c == '\n') {
      joined += "; ";
    } else {
      joined += c;
    }
  }
  while (joined.ends_with("; ")) joined.resize(joined.size() - 2);
  return joined;
}

LogListener::LogListener(std::function<void(const char*)> hear)
    : hear_(std::move(hear)), outer_(std::exchange(listening, &hear_)) {}
LogListener::~LogListener() { listening = outer_; }

void UpstreamLog(int ggml_level, const char* text) {
  if (ggml_level >= 1 && ggml_level <= 4) last_level = static_cast<LogLevel>(ggml_level - 1);
  if (listening) (*listening)(text);
  Write(last_level, text);
}

}  // namespace sotto
