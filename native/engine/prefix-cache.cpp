#include "engine/prefix-cache.h"

#include <algorithm>
#include <utility>

namespace sotto {

int CommonPrefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  const std::span<const int32_t> shorter = a.first(std::min(a.size(), b.size()));
  return int(std::mismatch(shorter.begin(), shorter.end(), b.begin()).first - shorter.begin());
}

PrefixCache::PrefixCache(llama_memory_t memory, int ids, bool partial)
    : memory_(memory), partial_(partial), entries_(ids) {}

int PrefixCache::Lookup(const std::string& principal, std::span<const int32_t> tokens) const {
  const auto tree = trees_.find(principal);
  if (tree == trees_.end() || tokens.empty()) return 0;
  // The last token is always decoded: its logits are what the request is for.
  const auto match = tree->second.Find(tokens.first(tokens.size() - 1));
  if (match.length == 0) return 0;
  if (!partial_ &&
      (match.length != tree->second.Length(match.holder) || entries_[match.holder].state != Entry::State::kIdle)) {
    return 0;
  }
  return match.length;
}

PrefixCache::Lease PrefixCache::Acquire(const std::string& principal, std::span<const int32_t> tokens, bool reuse) {
  const int length = reuse ? Lookup(principal, tokens) : 0;
  if (length > 0) {
    RadixTree& tree = Tree(principal);
    const int holder = tree.Find(tokens.first(length)).holder;
    Entry& entry = entries_[holder];
    if (entry.state == Entry::State::kIdle && tree.Length(holder) == length) {
      entry.state = Entry::State::kRunning;  // the next turn of a conversation takes its own sequence over
      return {holder, length};
    }
    // Pinned while an id is looked for: making room must not evict what is about to be shared.
    const auto state = std::exchange(entry.state, Entry::State::kRunning);
    const int id = TakeFreeId();
    entry.state = state;
    if (id < 0) return {};
    entry.last_used = ++clock_;
    llama_memory_seq_cp(memory_, holder, id, 0, length);
    entries_[id] = {Entry::State::kRunning, principal, ++clock_, true};
    tree.Append(id, tokens.first(length));
    return {id, length};
  }
  const int id = TakeFreeId();
  if (id < 0) return {};
  entries_[id] = {Entry::State::kRunning, principal, ++clock_, true};
  return {id, 0};
}

void PrefixCache::Extend(int id, std::span<const int32_t> tokens) {
  Entry& entry = entries_[id];
  if (entry.shared) Tree(entry.principal).Append(id, tokens);
}

void PrefixCache::Release(int id, bool keep) {
  Entry& entry = entries_[id];
  if (!keep || !entry.shared || Tree(entry.principal).Length(id) == 0) {
    Free(id);
    return;
  }
  entry.state = Entry::State::kIdle;
  entry.last_used = ++clock_;
}

void PrefixCache::Forget(int id) {
  llama_memory_seq_rm(memory_, id, -1, -1);
  Tree(entries_[id].principal).Remove(id);
}

void PrefixCache::Unshare(int id) {
  Entry& entry = entries_[id];
  if (!entry.shared) return;
  Tree(entry.principal).Remove(id);
  entry.shared = false;
}

bool PrefixCache::EvictOne() {
  Entry* oldest = nullptr;
  for (Entry& entry : entries_) {
    if (entry.state != Entry::State::kIdle) continue;
    if (!oldest || entry.last_used < oldest->last_used) oldest = &entry;
  }
  if (!oldest) return false;
  Free(int(oldest - entries_.data()));
  return true;
}

int PrefixCache::RunningCells() const {
  RadixTree::Holders running;
  for (size_t id = 0; id < entries_.size(); ++id) {
    if (entries_[id].state == Entry::State::kRunning) running.set(id);
  }
  int cells = 0;
  for (const auto& [principal, tree] : trees_) cells += tree.CountTokens(running);
  return cells;
}

bool PrefixCache::SharedWithRunning(int id) const {
  const Entry& own = entries_[id];
  const auto tree = trees_.find(own.principal);
  if (!own.shared || tree == trees_.end()) return false;
  RadixTree::Holders others, alone;
  alone.set(id);
  for (size_t other = 0; other < entries_.size(); ++other) {
    if (int(other) != id && entries_[other].state == Entry::State::kRunning) others.set(other);
  }
  const int apart = tree->second.CountTokens(others) + tree->second.CountTokens(alone);
  return tree->second.CountTokens(others | alone) != apart;
}

int PrefixCache::TakeFreeId() {
  while (true) {
    for (size_t id = 0; id < entries_.size(); ++id) {
      if (entries_[id].state == Entry::State::kFree) return int(id);
    }
    if (!EvictOne()) return -1;
  }
}

void PrefixCache::Free(int id) {
  Entry& entry = entries_[id];
  llama_memory_seq_rm(memory_, id, -1, -1);
  const auto tree = trees_.find(entry.principal);
  if (tree != trees_.end()) {
    tree->second.Remove(id);
    if (tree->second.empty()) trees_.erase(tree);  // principals come and go; their trees must not pile up
  }
  entry = {};
}

}  // namespace sotto
