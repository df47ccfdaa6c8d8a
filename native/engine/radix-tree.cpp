#include "engine/radix-tree.h"

#include <algorithm>
#include <cassert>

namespace sotto {

struct RadixTree::Node {
  Node* parent = nullptr;
  std::vector<int32_t> edge;
  std::map<int32_t, std::unique_ptr<Node>> children;  // by the first token of their edge
  std::vector<int> tails;                             // holders that end in this node
};

RadixTree::RadixTree() : root_(std::make_unique<Node>()), tails_(kMaxHolders) {}
RadixTree::~RadixTree() = default;

RadixTree::Match RadixTree::Find(std::span<const int32_t> tokens) const {
  const Node* node = root_.get();
  size_t matched = 0;
  int offset = 0;
  while (matched < tokens.size()) {
    const auto child = node->children.find(tokens[matched]);
    if (child == node->children.end()) break;
    node = child->second.get();
    offset = 0;
    while (offset < int(node->edge.size()) && matched < tokens.size() && node->edge[offset] == tokens[matched]) {
      ++offset;
      ++matched;
    }
    if (offset < int(node->edge.size())) break;
  }
  if (matched == 0) return {};

  // Whoever ends here at or after the last matched token has the prefix; so has everybody below.
  while (true) {
    for (const int holder : node->tails) {
      if (tails_[holder].offset >= offset) return {holder, int(matched)};
    }
    assert(!node->children.empty());
    node = node->children.begin()->second.get();
    offset = 0;
  }
}

RadixTree::Match RadixTree::FindWhole(std::span<const int32_t> tokens, const Holders& holders) const {
  const Node* node = root_.get();
  Match longest;
  for (size_t matched = 0; matched < tokens.size();) {
    const auto child = node->children.find(tokens[matched]);
    if (child == node->children.end()) break;
    node = child->second.get();
    const std::span<const int32_t> rest = tokens.subspan(matched);
    const size_t most = std::min(rest.size(), node->edge.size());
    const int common = int(std::mismatch(rest.begin(), rest.begin() + most, node->edge.begin()).first - rest.begin());
    for (const int holder : node->tails) {
      const Tail& tail = tails_[holder];
      if (holders.test(holder) && tail.offset <= common && tail.length > longest.length)
        longest = {holder, tail.length};
    }
    if (common < int(node->edge.size())) break;
    matched += size_t(common);
  }
  return longest;
}

void RadixTree::Append(int holder, std::span<const int32_t> tokens) {
  Tail& tail = tails_[holder];
  if (!tail.node) {
    tail = {root_.get(), 0, 0};
    root_->tails.push_back(holder);
  }
  for (const int32_t token : tokens) {
    Node* node = tail.node;
    if (tail.offset < int(node->edge.size())) {
      if (node->edge[tail.offset] == token) {
        ++tail.offset;
        ++tail.length;
        continue;
      }
      Split(node, tail.offset);
    } else if (node != root_.get() && node->children.empty() && node->tails.size() == 1) {
      node->edge.push_back(token);  // the common case: a sequence that generates alone
      ++tail.offset;
      ++tail.length;
      continue;
    }
    auto& child = node->children[token];
    if (!child) {
      child = std::make_unique<Node>();
      child->parent = node;
      child->edge.push_back(token);
    }
    std::erase(node->tails, holder);
    child->tails.push_back(holder);
    tail.node = child.get();
    tail.offset = 1;
    ++tail.length;
  }
}

// Cuts node's edge after `offset` tokens; what follows becomes its only child, with the children and tails that lie
// beyond.
void RadixTree::Split(Node* node, int offset) {
  auto lower = std::make_unique<Node>();
  lower->parent = node;
  lower->edge.assign(node->edge.begin() + offset, node->edge.end());
  lower->children.swap(node->children);
  for (auto& [token, child] : lower->children) child->parent = lower.get();
  std::erase_if(node->tails, [&](int holder) {
    Tail& tail = tails_[holder];
    if (tail.offset <= offset) return false;
    tail.node = lower.get();
    tail.offset -= offset;
    lower->tails.push_back(holder);
    return true;
  });
  node->edge.resize(offset);
  const int32_t first = lower->edge.front();
  node->children.emplace(first, std::move(lower));
}

void RadixTree::Remove(int holder) {
  Tail& tail = tails_[holder];
  if (!tail.node) return;
  std::erase(tail.node->tails, holder);
  Node* node = tail.node;
  tail = {};
  Trim(node);
}

// Keeps the invariant after a holder has left `node`: drops the tokens that nobody holds any more, and joins an only
// child with its parent, so that every inner node has two children and the tree never has more nodes than twice its
// holders.
void RadixTree::Trim(Node* node) {
  while (node != root_.get() && node->children.empty()) {
    int held = 0;
    for (const int holder : node->tails) held = std::max(held, tails_[holder].offset);
    if (held > 0) {
      node->edge.resize(held);
      return;
    }
    Node* parent = node->parent;
    const int32_t first = node->edge.front();
    parent->children.erase(first);
    node = parent;
  }
  if (node == root_.get() || node->children.size() != 1) return;
  const std::unique_ptr<Node> child = std::move(node->children.begin()->second);
  for (const int holder : child->tails) {
    tails_[holder].node = node;
    tails_[holder].offset += int(node->edge.size());
    node->tails.push_back(holder);
  }
  node->edge.insert(node->edge.end(), child->edge.begin(), child->edge.end());
  node->children = std::move(child->children);
  for (auto& [token, grandchild] : node->children) grandchild->parent = node;
}

std::vector<int32_t> RadixTree::Path(int holder) const {
  const Tail& tail = tails_[holder];
  std::vector<int32_t> path(size_t(tail.length));
  auto end = path.end();
  int offset = tail.offset;
  for (const Node* node = tail.node; node && node->parent; node = node->parent) {
    end -= offset;
    std::copy_n(node->edge.begin(), offset, end);
    offset = int(node->parent->edge.size());
  }
  return path;
}

int RadixTree::Length(int holder) const { return tails_[holder].length; }
bool RadixTree::empty() const { return root_->children.empty() && root_->tails.empty(); }

int RadixTree::CountTokens(const Holders& holders, std::span<const int> skip) const {
  constexpr int kNobody = -1;
  struct Visit {
    const RadixTree& tree;
    const Holders& holders;
    std::span<const int> skip;
    int total = 0;

    // Returns the least skip of the wanted holders that pass through or end in the node, which begins at `depth`; kNobody
    // when there is none. Recursion is no deeper than the number of holders.
    int operator()(const Node* node, int depth) {
      const int end = depth + int(node->edge.size());
      int least = kNobody, held = depth;
      const auto pass = [&](int skipped, int until) {
        least = least == kNobody ? skipped : std::min(least, skipped);
        held = std::max(held, until);
      };
      for (const auto& [token, child] : node->children) {
        const int below = (*this)(child.get(), end);
        if (below != kNobody) pass(below, end);
      }
      for (const int holder : node->tails) {
        if (holders.test(holder)) pass(skip.empty() ? 0 : skip[holder], depth + tree.tails_[holder].offset);
      }
      if (least != kNobody) total += std::max(0, held - std::max(depth, least));
      return least;
    }
  };
  Visit visit{*this, holders, skip};
  visit(root_.get(), 0);
  return visit.total;
}

}  // namespace sotto
