// log.h: where ggml, llama.cpp and we say something. Global because upstream's logger is. Silent below `level`.
#pragma once

#include <functional>
#include <string>

namespace sotto {

enum class LogLevel : int { kDebug = 0, kInfo = 1, kWarn = 2, kError = 3, kSilent = 4 };

// Initial level: SOTTO_LOG=debug|info|warn|error|silent, else error. Lines go to stderr.
void SetLogLevel(LogLevel level);
LogLevel GetLogLevel();
void Log(LogLevel level, const std::string& line);

// Collects the error lines that upstream logs on this thread while it lives, so that a failed load can say why; they
// are not printed then, unless the level is debug. Keeps at most 4 KB.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  std::string text() const;  // the lines, joined by "; ", without trailing newlines

 private:
  std::string text_;
  std::string* outer_;
};

// Hears what upstream logs on this thread while it lives, whatever the level, in the pieces that it logs.
class LogListener {
 public:
  explicit LogListener(std::function<void(const char*)> hear);
  ~LogListener();
  LogListener(const LogListener&) = delete;
  LogListener& operator=(const LogListener&) = delete;

 private:
  const std::function<void(const char*)> hear_;
  const std::function<void(const char*)>* outer_;
};

// What ggml's log callback calls; levels are ggml's: 1 debug, 2 info, 3 warn, 4 error, 5 continue.
void UpstreamLog(int ggml_level, const char* text);

}  // namespace sotto
