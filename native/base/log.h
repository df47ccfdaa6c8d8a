// log.h: where ggml, llama.cpp and we say something. Global because upstream's logger is. Silent below `level`.
#pragma once

#include <functional>
#include <string>

namespace sotto {

enum class LogLevel : int { kDebug = 0, kInfo = 1, kWarn = 2, kError = 3, kSilent = 4 };

// Initial level: SOTTO_LOG=debug|info|warn|error|silent, else error. Lines go to stderr unless a sink is set.
void SetLogLevel(LogLevel level);
LogLevel GetLogLevel();
void Log(LogLevel level, const std::string& line);

// Collects the error lines that upstream logs on this thread while it lives, so that a failed load can say why.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  std::string text() const;  // the lines, joined by "; ", without trailing newlines
};

// The ggml_log_callback to install (level numbers are ggml's: 1 debug, 2 info, 3 warn, 4 error, 5 continue).
void UpstreamLog(int ggml_level, const char* text, void* user_data);

}  // namespace sotto
