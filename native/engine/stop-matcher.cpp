#include "engine/stop-matcher.h"

#include <cstdint>
#include <queue>
#include <unordered_map>
#include <utility>

namespace sotto {

// The automaton of Aho and Corasick (CACM 18(6), 1975). Edges live in one hash map keyed by state and byte: 10^5 stop
// strings of a few bytes are some megabytes, not 10^5 tables of 256.
struct StopMatcher::Impl {
  struct State {
    uint32_t fail = 0;
    int32_t matched = -1;  // stop string that ends here, the longest one
    uint32_t depth = 0;    // bytes of a stop string matched so far: what must be held back
  };
  std::vector<State> states{1};
  std::unordered_map<uint64_t, uint32_t> edges;
  std::vector<uint32_t> lengths;
  uint32_t current = 0;
  std::string held;

  static uint64_t Key(uint32_t state, unsigned char byte) { return (uint64_t(state) << 8) | byte; }

  explicit Impl(const std::vector<std::string>& stops) {
    std::vector<std::pair<uint32_t, unsigned char>> order;  // (parent, byte) of every state, by creation
    order.emplace_back(0, 0);
    for (size_t i = 0; i < stops.size(); ++i) {
      lengths.push_back(uint32_t(stops[i].size()));
      uint32_t state = 0;
      for (const unsigned char byte : stops[i]) {
        const auto [edge, added] = edges.try_emplace(Key(state, byte), uint32_t(states.size()));
        if (added) {
          states.push_back({0, -1, states[state].depth + 1});
          order.emplace_back(state, byte);
        }
        state = edge->second;
      }
      if (state != 0 && states[state].matched < 0) states[state].matched = int32_t(i);
    }
    // Breadth first: a state's fail link points to a shallower one.
    std::vector<std::vector<uint32_t>> by_depth;
    for (uint32_t state = 1; state < states.size(); ++state) {
      if (by_depth.size() < states[state].depth) by_depth.resize(states[state].depth);
      by_depth[states[state].depth - 1].push_back(state);
    }
    for (const auto& level : by_depth) {
      for (const uint32_t state : level) {
        const auto [parent, byte] = order[state];
        states[state].fail = parent == 0 ? 0 : Next(states[parent].fail, byte);
        if (states[state].matched < 0) states[state].matched = states[states[state].fail].matched;
      }
    }
  }

  uint32_t Next(uint32_t state, unsigned char byte) const {
    while (true) {
      const auto edge = edges.find(Key(state, byte));
      if (edge != edges.end()) return edge->second;
      if (state == 0) return 0;
      state = states[state].fail;
    }
  }
};

StopMatcher::StopMatcher(const std::vector<std::string>& stops) {
  if (!stops.empty()) impl_ = std::make_unique<Impl>(stops);
}
StopMatcher::~StopMatcher() = default;

StopMatcher::Output StopMatcher::Push(const std::string& text) {
  if (!impl_) return {text, -1};
  std::string& held = impl_->held;
  for (const unsigned char byte : text) {
    held += char(byte);
    impl_->current = impl_->Next(impl_->current, byte);
    const int32_t matched = impl_->states[impl_->current].matched;
    if (matched >= 0) {
      held.resize(held.size() - impl_->lengths[size_t(matched)]);
      impl_->current = 0;
      return {std::exchange(held, {}), matched};
    }
  }
  size_t keep = impl_->states[impl_->current].depth;
  // What goes out must not be cut inside a character.
  while (keep < held.size() && (uint8_t(held[held.size() - keep]) & 0xC0) == 0x80 && keep > 0) ++keep;
  std::string safe = held.substr(0, held.size() - keep);
  held.erase(0, safe.size());
  return {std::move(safe), -1};
}

std::string StopMatcher::Flush() {
  if (!impl_) return {};
  impl_->current = 0;
  return std::exchange(impl_->held, {});
}

}  // namespace sotto
