// prefix-cache.h: which tokens lie in the KV cache, under which sequence id, and who may share them. Sharing is
// llama_memory_seq_cp in a unified cache: cells get a second owner, nothing is copied. One radix tree a principal, so
// that the time to a first token never tells one principal what another has asked; and one of what is pinned, which
// everybody shares and nothing evicts. The scheduler's thread only.
#pragma once

#include <llama.h>

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/context-state.h"
#include "engine/radix-tree.h"

namespace sotto {

// Tokens that both begin with.
int CommonPrefix(std::span<const int32_t> a, std::span<const int32_t> b);

class PrefixCache {
 public:
  // `ids`: sequence ids 0…ids-1 are ours. `partial`: the memory can keep a part of a sequence; recurrent models cannot,
  // and then only a whole cached sequence is continued.
  PrefixCache(llama_memory_t memory, int ids, bool partial);

  struct Lease {
    int id = -1;     // -1: every id belongs to a running sequence
    int reused = 0;  // tokens that need not be decoded again; always fewer than all
  };
  // Gives a sequence id whose first `reused` tokens are already in the cache. `reuse` off: an empty one. `context`: the
  // conversation that it is for, or 0.
  Lease Acquire(const std::string& principal, std::span<const int32_t> tokens, bool reuse, ContextId context = 0);
  // How many tokens Acquire would find now.
  int Lookup(const std::string& principal, std::span<const int32_t> tokens) const;
  // How many of them lie in cells that are counted as running now, or pinned; at least.
  int LookupRunning(const std::string& principal, std::span<const int32_t> tokens) const;
  // The same among what is pinned.
  Lease AcquireToPin(std::span<const int32_t> tokens);
  int LookupPinned(std::span<const int32_t> tokens) const;

  // `tokens` were decoded for `id`; from now on others may share them.
  void Extend(int id, std::span<const int32_t> tokens);
  // The sequence has ended. `keep`: its tokens stay until room is needed. Not kept: the cells are freed now. Those of a
  // conversation stay longest, and it has them alone: nobody else takes its sequence over. False: not kept.
  bool Release(int id, bool keep, ContextId context = 0);
  // A sequence of AcquireToPin has all its tokens: they stay until Unpin.
  void Pin(int id);
  void Unpin(int id) { Free(id); }
  void UnpinAll();
  // Frees the cells of `id`, which goes on running with none.
  void Forget(int id);
  // Takes the tokens of `id` out of the tree: they no longer say what the cells hold (after a shift).
  void Unshare(int id);
  // Frees the least recently used sequence that is not running, of a conversation only when there is no other. False: there
  // is none.
  bool EvictOne();
  // Hears of a conversation's sequence before it is evicted.
  std::function<void(ContextId, int id)> on_evict;

  // The sequence of a conversation that is not running; -1: there is none.
  int OfContext(ContextId context) const;
  std::vector<int32_t> Tokens(int id) const;
  const std::string& Principal(int id) const { return entries_[id].principal; }
  // A sequence id for what will be read into it; Adopt makes it the conversation's, Evict gives it back. -1: every one runs.
  int AcquireEmpty();
  void Adopt(int id, const std::string& principal, std::span<const int32_t> tokens, ContextId context);
  void Evict(int id) { Free(id); }

  // Cells that running sequences and pinned prefixes occupy, shared ones counted once; and those of all sequences.
  int RunningCells() const;
  int Cells() const;
  int PinnedCells() const;
  int capacity() const { return int(entries_.size()); }

 private:
  struct Entry {
    enum class State { kFree, kRunning, kIdle, kPinned } state = State::kFree;
    std::string principal;
    uint64_t last_used = 0;
    bool shared = true;  // its tokens are in the tree
    bool pin = false;    // in the tree of what is pinned, or about to be
    int pinned_by = -1;  // whose cells its first `pinned` tokens lie in
    int pinned = 0;
    ContextId context = 0;
  };
  RadixTree::Match Find(const RadixTree& tree, std::span<const int32_t> tokens) const;
  Lease Share(const RadixTree::Match& match, Entry entry, std::span<const int32_t> tokens);
  int TakeFreeId();
  void Free(int id);
  RadixTree& Tree(const Entry& entry) { return entry.pin ? pinned_ : trees_[entry.principal]; }
  RadixTree::Holders Holders(Entry::State state, bool pin) const;
  int CountCells(const RadixTree::Holders& holders) const;

  llama_memory_t memory_;
  bool partial_;
  uint64_t clock_ = 0;
  std::vector<Entry> entries_;
  std::map<std::string, RadixTree> trees_;
  RadixTree pinned_;
};

}  // namespace sotto
