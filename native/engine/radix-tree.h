// radix-tree.h: token prefixes and who holds them. A holder (a KV sequence id) is a path from the root; paths share the
// nodes of their common prefix. Invariant: every token in the tree lies on the path of at least one holder, so the end
// of any walk is a prefix that somebody really has in the KV cache. One thread.
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace sotto {

class RadixTree {
 public:
  static constexpr int kMaxHolders = 256;  // LLAMA_MAX_SEQ
  using Holders = std::bitset<kMaxHolders>;

  RadixTree();
  ~RadixTree();
  RadixTree(const RadixTree&) = delete;
  RadixTree& operator=(const RadixTree&) = delete;

  struct Match {
    int holder = -1;  // -1: nobody has even the first token
    int length = 0;
  };
  // The longest prefix of `tokens` that some holder has. O(length of the match).
  Match Find(std::span<const int32_t> tokens) const;
  // The longest whole path of one of `holders` that `tokens` begin with.
  Match FindWhole(std::span<const int32_t> tokens, const Holders& holders) const;

  // Puts `holder` at the root, or moves it further along `tokens`. O(number of tokens).
  void Append(int holder, std::span<const int32_t> tokens);
  void Remove(int holder);
  int Length(int holder) const;
  std::vector<int32_t> Path(int holder) const;
  bool empty() const;

  // Tokens on the paths of `holders`, each shared one counted once: the KV cells they occupy. `skip`: of each holder, how
  // many tokens at the beginning are not counted, except where others that have them too skip fewer.
  int CountTokens(const Holders& holders, std::span<const int> skip = {}) const;

 private:
  struct Node;
  struct Tail {
    Node* node = nullptr;  // null: not in the tree
    int offset = 0;        // tokens of node->edge that the holder has; > 0 except at the root
    int length = 0;        // tokens of the whole path
  };
  void Split(Node* node, int offset);
  void Trim(Node* node);

  std::unique_ptr<Node> root_;
  std::vector<Tail> tails_;
};

}  // namespace sotto
