// json-shape.h: the shape of JSON text, without parsing it: upstream's parser recurses once a level, and looks through all keys
// of an object for each one that it adds. So both are limited before it runs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

namespace sotto {

struct JsonShape {
  size_t depth = 0;  // of the deepest object or array; counting stops above kDeepestJson
  size_t width = 0;  // members of the largest object
};
inline constexpr size_t kDeepestJson = 1000;
inline constexpr size_t kWidestJsonObject = 4096;

inline JsonShape ShapeOfJson(std::string_view text) {
  JsonShape shape;
  std::vector<size_t> members;  // of the objects and arrays that are open
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"':
        for (++i; i < text.size() && text[i] != '"'; ++i) {
          if (text[i] == '\\') ++i;
        }
        break;
      case '{':
      case '[':
        members.push_back(0);
        shape.depth = std::max(shape.depth, members.size());
        if (shape.depth > kDeepestJson) return shape;
        break;
      case '}':
      case ']':
        if (!members.empty()) members.pop_back();
        break;
      case ':':
        if (!members.empty()) shape.width = std::max(shape.width, ++members.back());
        break;
      default: break;
    }
  }
  return shape;
}

}  // namespace sotto
