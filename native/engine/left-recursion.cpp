#include "engine/left-recursion.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/error.h"

namespace sotto {
namespace {

constexpr uint64_t kMostBeginnings = 4096;            // of one rule: upstream compares every pair of them
constexpr uint64_t kMostBeginningsInAll = 5'000'000;  // upstream walks all of them once for every rule
constexpr int kDeepestChain = 1000;                   // upstream recurses along it

struct Edge {
  int rule;
  bool pushes;  // something of the same alternative follows it
};

class Beginnings {
 public:
  Beginnings(const std::vector<GrammarRule>& rules, const std::function<std::string(int)>& name)
      : rules_(rules), name_(name) {}

  void Check() {
    MarkEmptyAlternatives();
    const std::vector<bool> written = empty_;
    MarkEmptyRules();
    const std::vector<bool> possible = std::exchange(empty_, written);
    // As upstream sees it, where only an alternative that is written empty is empty: no circle at all.
    Walk(false);
    // As it is: a circle is harmless as long as nothing is waiting behind the rule when it begins again, as in (x*)*.
    empty_ = possible;
    Walk(true);
  }

 private:
  [[noreturn]] void Refuse(int rule, const std::string& why) const {
    throw Error(ErrorCode::kGrammarInvalid, "The rule \"" + name_(rule).substr(0, 60) + "\" of the grammar " + why);
  }

  void MarkEmptyAlternatives() {
    empty_.assign(rules_.size(), false);
    for (size_t rule = 0; rule < rules_.size(); ++rule) {
      bool at_start = true;
      for (const int element : rules_[rule]) {
        const bool ends = element == kGrammarAlternate || element == kGrammarEnd;
        if (ends && at_start) empty_[rule] = true;
        at_start = ends;
      }
    }
  }

  // From the rules that are empty by themselves to those made of nothing but such: each alternative counts down once.
  void MarkEmptyRules() {
    struct Alternative {
      int rule;
      int missing;
    };
    std::vector<Alternative> alternatives;
    std::vector<std::vector<int>> used_in(rules_.size());
    std::vector<int> found;
    for (size_t rule = 0; rule < rules_.size(); ++rule) {
      if (empty_[rule]) found.push_back(int(rule));
      size_t start = 0;
      for (size_t i = 0; i < rules_[rule].size(); ++i) {
        const int element = rules_[rule][i];
        if (element != kGrammarAlternate && element != kGrammarEnd) continue;
        const auto first = rules_[rule].begin() + std::ptrdiff_t(start),
                   last = rules_[rule].begin() + std::ptrdiff_t(i);
        if (std::find(first, last, kGrammarTerminal) == last) {
          for (auto used = first; used != last; ++used) used_in[size_t(*used)].push_back(int(alternatives.size()));
          alternatives.push_back({int(rule), int(last - first)});
        }
        start = i + 1;
      }
    }
    while (!found.empty()) {
      const int rule = found.back();
      found.pop_back();
      for (const int use : used_in[size_t(rule)]) {
        Alternative& alternative = alternatives[size_t(use)];
        if (--alternative.missing > 0 || empty_[size_t(alternative.rule)]) continue;
        empty_[size_t(alternative.rule)] = true;
        found.push_back(alternative.rule);
      }
    }
  }

  // The rules that an expansion of `rule` can begin with.
  std::vector<Edge> EdgesOf(int rule) const {
    std::vector<Edge> edges;
    bool beginning = true;
    const GrammarRule& body = rules_[size_t(rule)];
    for (size_t i = 0; i < body.size(); ++i) {
      if (body[i] == kGrammarAlternate || body[i] == kGrammarEnd) {
        beginning = true;
      } else if (beginning && body[i] >= 0) {
        const int next = body[i + 1];
        edges.push_back({body[i], next != kGrammarAlternate && next != kGrammarEnd});
        beginning = empty_[size_t(body[i])];
      } else {
        beginning = false;
      }
    }
    return edges;
  }

  // Strongly connected components (Tarjan 1972) without recursion; a component is complete after those it leads to.
  void Walk(bool circles_allowed) {
    const size_t count = rules_.size();
    index_.assign(count, -1);
    low_.assign(count, -1);
    component_.assign(count, -1);
    ways_.clear();
    depth_.clear();
    total_ = 0;
    int next_index = 0;
    struct Frame {
      int rule;
      std::vector<Edge> edges;
      size_t next;
    };
    std::vector<Frame> frames;
    std::vector<int> open;
    const auto enter = [&](int rule) {
      index_[size_t(rule)] = low_[size_t(rule)] = next_index++;
      open.push_back(rule);
      frames.push_back({rule, EdgesOf(rule), 0});
    };
    for (size_t start = 0; start < count; ++start) {
      if (index_[start] >= 0) continue;
      enter(int(start));
      while (!frames.empty()) {
        Frame& frame = frames.back();
        const size_t rule = size_t(frame.rule);
        if (frame.next < frame.edges.size()) {
          const size_t to = size_t(frame.edges[frame.next++].rule);
          if (index_[to] < 0) {
            enter(int(to));
          } else if (component_[to] < 0) {
            low_[rule] = std::min(low_[rule], index_[to]);
          }
          continue;
        }
        if (low_[rule] == index_[rule]) Complete(open, int(rule), circles_allowed);
        frames.pop_back();
        if (!frames.empty()) {
          const size_t parent = size_t(frames.back().rule);
          low_[parent] = std::min(low_[parent], low_[rule]);
        }
      }
    }
  }

  void Complete(std::vector<int>& open, int root, bool circles_allowed) {
    const auto first = std::find(open.rbegin(), open.rend(), root).base() - 1;
    const std::vector<int> members(first, open.end());
    open.erase(first, open.end());
    const int id = int(ways_.size());
    for (const int member : members) component_[size_t(member)] = id;
    uint64_t ways = 0;
    int depth = 1;
    for (const int member : members) {
      const GrammarRule& body = rules_[size_t(member)];
      ways += uint64_t(std::count(body.begin(), body.end(), kGrammarAlternate)) + 1;
      for (const Edge& edge : EdgesOf(member)) {
        const int to = component_[size_t(edge.rule)];
        if (to != id) {
          ways += ways_[size_t(to)];
          depth = std::max(depth, depth_[size_t(to)] + 1);
        } else if (!circles_allowed || edge.pushes) {
          Refuse(member, "can begin with itself (left recursion): put what it must begin with first");
        }
      }
    }
    if (ways > kMostBeginnings) {
      Refuse(members[0], "can begin in more than " + std::to_string(kMostBeginnings) + " ways: use fewer alternatives");
    }
    total_ += ways * members.size();
    if (total_ > kMostBeginningsInAll) Refuse(members[0], "and those before it have too many alternatives");
    if (depth > kDeepestChain) Refuse(members[0], "begins with a rule that begins with a rule, more than 1000 deep");
    ways_.push_back(ways);
    depth_.push_back(depth);
  }

  const std::vector<GrammarRule>& rules_;
  const std::function<std::string(int)>& name_;
  std::vector<bool> empty_;
  std::vector<int> index_, low_, component_;
  std::vector<uint64_t> ways_;  // of each component: how an expansion of it can begin
  std::vector<int> depth_;
  uint64_t total_ = 0;
};

}  // namespace

void CheckLeftRecursion(const std::vector<GrammarRule>& rules, const std::function<std::string(int)>& name) {
  Beginnings(rules, name).Check();
}

}  // namespace sotto
