#include "engine/prefix-cache.h"

#include <algorithm>
#include <utility>

namespace sotto {

int CommonPrefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  const std::span<const int32_t> shorter = a.first(std::min(a.size(), b.size()));
  return int(std::mismatch(shorter.begin(), shorter.end(), b.begin()).first - shorter.begin());
}

PrefixCache::PrefixCache(llama_memory_t memory, int ids, bool partial)
    : on_evict([](ContextId, int) {}), memory_(memory), partial_(partial), entries_(ids) {}

RadixTree::Holders PrefixCache::Holders(Entry::State state, bool pin) const {
  RadixTree::Holders holders;
  for (size_t id = 0; id < entries_.size(); ++id) {
    if (entries_[id].state == state && entries_[id].pin == pin) holders.set(id);
  }
  return holders;
}

RadixTree::Match PrefixCache::Find(const RadixTree& tree, std::span<const int32_t> tokens) const {
  if (tokens.empty()) return {};
  // The last token is always decoded: its logits are what the request is for.
  tokens = tokens.first(tokens.size() - 1);
  if (partial_) return tree.Find(tokens);
  const bool pin = &tree == &pinned_;
  return tree.FindWhole(tokens, Holders(pin ? Entry::State::kPinned : Entry::State::kIdle, pin));
}

int PrefixCache::Lookup(const std::string& principal, std::span<const int32_t> tokens) const {
  const auto tree = trees_.find(principal);
  const int own = tree == trees_.end() ? 0 : Find(tree->second, tokens).length;
  return std::max(own, LookupPinned(tokens));
}

int PrefixCache::LookupRunning(const std::string& principal, std::span<const int32_t> tokens) const {
  const int pinned = LookupPinned(tokens);
  const auto tree = trees_.find(principal);
  if (tree == trees_.end()) return pinned;
  const RadixTree::Match own = Find(tree->second, tokens);
  const bool runs = own.length > 0 && entries_[own.holder].state == Entry::State::kRunning;
  return std::max(runs ? own.length : 0, pinned);
}

int PrefixCache::LookupPinned(std::span<const int32_t> tokens) const { return Find(pinned_, tokens).length; }

PrefixCache::Lease PrefixCache::Acquire(const std::string& principal, std::span<const int32_t> tokens, bool reuse,
                                        ContextId context) {
  Entry entry{Entry::State::kRunning, principal};
  if (!reuse) return Share({}, std::move(entry), tokens);
  const auto tree = trees_.find(principal);
  const RadixTree::Match own = tree == trees_.end() ? RadixTree::Match() : Find(tree->second, tokens);
  const RadixTree::Match pinned = Find(pinned_, tokens);
  if (pinned.length > own.length) return Share(pinned, std::move(entry), tokens);
  if (own.length > 0) {
    Entry& holder = entries_[own.holder];
    const bool its_own = holder.context == 0 || holder.context == context;
    if (its_own && holder.state == Entry::State::kIdle && tree->second.Length(own.holder) == own.length) {
      holder.state = Entry::State::kRunning;  // the next turn of a conversation takes its own sequence over
      return {own.holder, own.length};
    }
  }
  return Share(own, std::move(entry), tokens);
}

PrefixCache::Lease PrefixCache::AcquireToPin(std::span<const int32_t> tokens) {
  Entry entry{Entry::State::kRunning};
  entry.pin = true;
  return Share(Find(pinned_, tokens), std::move(entry), tokens);
}

// A new sequence that begins with what `match` found.
PrefixCache::Lease PrefixCache::Share(const RadixTree::Match& match, Entry entry, std::span<const int32_t> tokens) {
  if (match.length == 0) {
    const int id = TakeFreeId();
    if (id < 0) return {};
    entry.last_used = ++clock_;
    entries_[id] = std::move(entry);
    return {id, 0};
  }
  Entry& holder = entries_[match.holder];
  // Held while an id is looked for: making room must not evict what is about to be shared.
  const auto state = std::exchange(holder.state, Entry::State::kRunning);
  const int id = TakeFreeId();
  holder.state = state;
  if (id < 0) return {};
  holder.last_used = ++clock_;
  llama_memory_seq_cp(memory_, match.holder, id, 0, match.length);
  entry.last_used = ++clock_;
  entry.pinned_by = holder.pin ? match.holder : holder.pinned_by;
  entry.pinned = holder.pin ? match.length : std::min(holder.pinned, match.length);
  entries_[id] = std::move(entry);
  Tree(entries_[id]).Append(id, tokens.first(size_t(match.length)));
  return {id, match.length};
}

void PrefixCache::Extend(int id, std::span<const int32_t> tokens) {
  Entry& entry = entries_[id];
  if (entry.shared) Tree(entry).Append(id, tokens);
}

bool PrefixCache::Release(int id, bool keep, ContextId context) {
  Entry& entry = entries_[id];
  if (!keep || entry.pin || !entry.shared || Tree(entry).Length(id) == 0) {
    Free(id);
    return false;
  }
  // What the conversation had said before its history was changed.
  if (const int former = OfContext(context); former >= 0) Free(former);
  entry.state = Entry::State::kIdle;
  entry.last_used = ++clock_;
  entry.context = context;
  return true;
}

int PrefixCache::OfContext(ContextId context) const {
  if (context == 0) return -1;
  for (size_t id = 0; id < entries_.size(); ++id) {
    if (entries_[id].context == context && entries_[id].state == Entry::State::kIdle) return int(id);
  }
  return -1;
}

std::vector<int32_t> PrefixCache::Tokens(int id) const {
  const auto tree = trees_.find(entries_[id].principal);
  return tree == trees_.end() ? std::vector<int32_t>() : tree->second.Path(id);
}

int PrefixCache::AcquireEmpty() {
  const int id = TakeFreeId();
  if (id >= 0) entries_[id].state = Entry::State::kRunning;
  return id;
}

void PrefixCache::Adopt(int id, const std::string& principal, std::span<const int32_t> tokens, ContextId context) {
  entries_[id].principal = principal;
  Extend(id, tokens);
  Release(id, true, context);
}

void PrefixCache::Pin(int id) { entries_[id].state = Entry::State::kPinned; }

void PrefixCache::UnpinAll() {
  for (size_t id = 0; id < entries_.size(); ++id) {
    if (entries_[id].state == Entry::State::kPinned) Unpin(int(id));
  }
}

void PrefixCache::Forget(int id) {
  llama_memory_seq_rm(memory_, id, -1, -1);
  Tree(entries_[id]).Remove(id);
  entries_[id].pinned = 0;
}

void PrefixCache::Unshare(int id) {
  Entry& entry = entries_[id];
  if (!entry.shared) return;
  Tree(entry).Remove(id);
  entry.shared = false;
}

bool PrefixCache::EvictOne() {
  Entry* first = nullptr;
  for (Entry& entry : entries_) {
    if (entry.state != Entry::State::kIdle) continue;
    const auto rank = [](const Entry& each) { return std::pair(each.context != 0, each.last_used); };
    if (!first || rank(entry) < rank(*first)) first = &entry;
  }
  if (!first) return false;
  const int id = int(first - entries_.data());
  if (first->context != 0) on_evict(first->context, id);
  Free(id);
  return true;
}

int PrefixCache::RunningCells() const { return CountCells(Holders(Entry::State::kRunning, false)); }

int PrefixCache::Cells() const {
  return CountCells(Holders(Entry::State::kRunning, false) | Holders(Entry::State::kIdle, false));
}

int PrefixCache::CountCells(const RadixTree::Holders& holders) const {
  const RadixTree::Holders pins = Holders(Entry::State::kRunning, true) | Holders(Entry::State::kPinned, true);
  std::vector<int> pinned(RadixTree::kMaxHolders);
  for (size_t id = 0; id < entries_.size(); ++id) pinned[id] = entries_[id].pinned;
  int cells = pinned_.CountTokens(pins);
  for (const auto& [principal, tree] : trees_) cells += tree.CountTokens(holders, pinned);
  return cells;
}

int PrefixCache::PinnedCells() const { return pinned_.CountTokens(Holders(Entry::State::kPinned, true)); }

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
  if (entry.pin) {
    pinned_.Remove(id);
    for (Entry& other : entries_) {
      if (other.pinned_by == id) other.pinned = 0;  // the cells are theirs now
    }
  } else if (const auto tree = trees_.find(entry.principal); tree != trees_.end()) {
    tree->second.Remove(id);
    if (tree->second.empty()) trees_.erase(tree);  // principals come and go; their trees must not pile up
  }
  entry = {};
}

}  // namespace sotto
