#include "attention.h"

#include <math.h>
#include <string.h>

#include <algorithm>
#include <numeric>

#include "cpu-isa.h"
#include "ggml-cpu-impl.h"
#include "kernels.h"
#include "team.h"

namespace {

constexpr int64_t BLOCK = SOTTO_KV_BLOCK;  // a bit for each of its cells fits a word
constexpr size_t AHEAD = 16;               // rows to prefetch
constexpr int MAX_GROUPS = 8;              // of a tile: with more, its scores leave the second cache level
constexpr int MAX_ROWS = MAX_GROUPS * SOTTO_MAX_QUERIES;

int kv_of(ggml_type type) {
    switch (type) {
        case GGML_TYPE_F32:  return SOTTO_KV_F32;
        case GGML_TYPE_F16:  return SOTTO_KV_F16;
        case GGML_TYPE_Q8_0: return SOTTO_KV_Q8_0;
        case GGML_TYPE_Q4_0: return SOTTO_KV_Q4_0;
        default:             return -1;
    }
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The operation by the names that ggml_flash_attn_ext gives its parts.
struct attention {
    const ggml_tensor * q;      // [d_k, rows, heads]
    const ggml_tensor * k;      // [d_k, cells, heads_kv]
    const ggml_tensor * v;      // [d_v, cells, heads_kv]
    const ggml_tensor * mask;   // [cells, rows] or null
    const ggml_tensor * sinks;  // [heads] or null
    ggml_tensor * dst;          // [d_v, heads, rows]
    float scale, max_bias, softcap;

    explicit attention(const ggml_tensor * op)
        : q(op->src[0]), k(op->src[1]), v(op->src[2]), mask(op->src[3]), sinks(op->src[4]), dst(const_cast<ggml_tensor *>(op)) {
        memcpy(&scale, op->op_params + 0, sizeof(float));
        memcpy(&max_bias, op->op_params + 1, sizeof(float));
        memcpy(&softcap, op->op_params + 2, sizeof(float));
    }

    int64_t rows() const { return q->ne[1]; }
    int64_t heads() const { return q->ne[2]; }
    int64_t heads_kv() const { return k->ne[2]; }
    int64_t cells() const { return k->ne[1]; }
    int64_t blocks() const { return ceil_div(cells(), BLOCK); }

    // Heads of a KV head that a tile takes: all of them, unless those are very many.
    int64_t parts() const { return ceil_div(heads() / heads_kv(), MAX_ROWS); }
    int64_t heads_of_part() const { return ceil_div(heads() / heads_kv(), parts()); }
    int64_t groups_of_row() const { return ceil_div(heads_of_part(), SOTTO_MAX_QUERIES); }
    int64_t max_rows() const { return MAX_ROWS / heads_of_part(); }

    // Where no thread would get a few tiles of one row, threads share each tile.
    int64_t one_row_tiles() const { return rows() * heads_kv() * parts(); }
    bool split(int n_threads) const { return one_row_tiles() < 4 * n_threads; }
    int64_t rows_of_tile(int n_threads) const {
        return std::min(max_rows(), std::max<int64_t>(1, one_row_tiles() / (4 * n_threads)));
    }

    // Memory of a tile: which cells its rows see, scores, and where tiles are split, the largest score of each block.
    size_t seen_size(int64_t rows_of_tile) const { return size_t(rows_of_tile * blocks()) * sizeof(uint64_t); }
    size_t scores_size() const { return size_t(BLOCK * SOTTO_MAX_QUERIES) * sizeof(float); }  // of a group and block
    size_t most_size() const { return SOTTO_MAX_QUERIES * sizeof(float); }
    size_t split_size() const {
        return seen_size(1) + size_t(blocks() * groups_of_row()) * (scores_size() + most_size());
    }
    size_t whole_size() const { return seen_size(max_rows()) + size_t(blocks()) * MAX_GROUPS * scores_size(); }
    // Keys or values of a block, as floats.
    size_t floats_size() const { return size_t(BLOCK * std::max(k->ne[0], v->ne[0])) * sizeof(float); }

    const uint16_t * mask_of(int64_t row) const {
        return mask ? (const uint16_t *) ((const char *) mask->data + row * mask->nb[1]) : nullptr;
    }

    // ALiBi (arXiv 2108.12409), as ggml counts heads.
    float slope(int64_t head) const {
        if (max_bias <= 0) {
            return 1;
        }
        const int64_t power = int64_t(1) << int(floor(log2(double(heads()))));
        return head < power ? powf(powf(2, -max_bias / float(power)), float(head + 1))
                            : powf(powf(2, -max_bias / 2 / float(power)), float(2 * (head - power) + 1));
    }

    bool ours(const sotto_kernels * use) const {
        const auto rows_are_ours = [&](const ggml_tensor * t) {
            return kv_of(t->type) >= 0 && t->ne[3] == 1 && t->nb[0] == ggml_type_size(t->type) && t->ne[0] % use->lanes == 0 &&
                   t->ne[0] % ggml_blck_size(t->type) == 0;
        };
        return q->type == GGML_TYPE_F32 && q->ne[3] == 1 && q->nb[0] == sizeof(float) && rows_are_ours(k) && rows_are_ours(v) &&
               v->ne[2] == heads_kv() && heads() % heads_kv() == 0 &&
               (!mask || (mask->type == GGML_TYPE_F16 && mask->nb[0] == sizeof(uint16_t) && mask->ne[2] == 1 && mask->ne[3] == 1));
    }
};

constexpr uint16_t HIDDEN = 0xfc00;  // -infinity in f16

// A bit for each of `count` cells that the mask shows. `biased`: it says more of them than that.
uint64_t look(const uint16_t * mask, int count, bool * biased) {
    const uint64_t all = count == 64 ? ~uint64_t(0) : (uint64_t(1) << count) - 1;
    *biased = false;
    if (!mask) {
        return all;
    }
    uint64_t seen = 0;
    for (int begin = 0; begin < count; begin += 4) {
        uint64_t four = 0xfc00fc00fc00fc00u;
        memcpy(&four, mask + begin, size_t(std::min(4, count - begin)) * sizeof(uint16_t));
        if (four == 0xfc00fc00fc00fc00u) {
            continue;
        }
        if (four == 0) {
            seen |= uint64_t(15) << begin;
            continue;
        }
        for (int i = begin; i < std::min(begin + 4, count); i++) {
            seen |= uint64_t(mask[i] != HIDDEN) << i;
            *biased |= mask[i] != HIDDEN && mask[i] != 0;
        }
    }
    return seen & all;
}

int count_bits(uint64_t bits) {
    bits -= bits >> 1 & 0x5555555555555555u;
    bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
    return int(((bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
}

// The queries that a kernel takes: heads of one row, or of several.
struct group {
    sotto_queries a;
    int n;
    int64_t row[SOTTO_MAX_QUERIES];
    int64_t head[SOTTO_MAX_QUERIES];
};

// Rows that share what is read of a KV head. Its memory belongs to a thread, or where tiles are split, to the tile.
class tile {
  public:
    tile(const attention & whole, int64_t first_row, int64_t n_rows, int64_t head_kv, int64_t part, char * memory, float * floats,
         const sotto_kernels * use)
        : op(whole), use(use), first_row(first_row), n_rows(n_rows), head_kv(head_kv), floats(floats) {
        const int64_t shared = op.heads() / op.heads_kv(), begin = part * op.heads_of_part();
        const int64_t n_heads = std::min(op.heads_of_part(), shared - begin);
        n_groups = int(ceil_div(n_rows * n_heads, SOTTO_MAX_QUERIES));
        for (int g = 0; g < n_groups; g++) {
            fill_group(groups[g], g * n_rows * n_heads / n_groups, (g + 1) * n_rows * n_heads / n_groups, head_kv * shared + begin, n_heads);
        }
        seen   = (uint64_t *) memory;
        scores = (float *) (memory + op.seen_size(n_rows));
        most   = (float *) (memory + op.seen_size(n_rows) + size_t(n_groups * op.blocks()) * op.scores_size());
    }

    // Rows of different sequences see different cells: together, each would pay for all of them.
    bool alike() const {
        int64_t of_rows = 0, of_all = 0;
        for (int64_t b = 0; b < op.blocks(); b++) {
            for (int64_t r = 0; r < n_rows; r++) {
                bool biased;
                of_rows += count_bits(look_at(b, r, &biased));
            }
            of_all += count_bits(seen_by_all(b));
        }
        return 4 * of_rows >= 3 * n_rows * of_all;
    }

    // `largest`: of the scores of each group, raised to those of this block.
    void score(int64_t block, float * largest) const {
        uint64_t biased = 0;
        for (int64_t r = 0; r < n_rows; r++) {
            bool of_row;
            look_at(block, r, &of_row);
            biased |= uint64_t(of_row) << r;
        }
        const uint64_t all = seen_by_all(block);
        const uint8_t * keys[BLOCK];
        const int count = rows_of(op.k, block, all, 0, op.k->ne[0], keys);
        for (int g = 0; g < n_groups && count > 0; g++) {
            bool plain = true;
            for (int i = 0; i < groups[g].n; i++) {
                plain = plain && seen[groups[g].row[i] * op.blocks() + block] == all && !(biased >> groups[g].row[i] & 1);
            }
            float bias[(BLOCK + 3) * SOTTO_MAX_QUERIES];
            if (!plain) {
                fill_bias(groups[g], block, all, bias);
            }
            use->scores[type_of(op.k)][groups[g].n - 1](&groups[g].a, keys, count, plain ? nullptr : bias, scores_of(g, block),
                                                        largest + g * SOTTO_MAX_QUERIES);
        }
    }

    // Outputs begin .. end - 1, once all scores are there.
    void add_values(int64_t begin, int64_t end, float * largest) const {
        float total[MAX_GROUPS][SOTTO_MAX_QUERIES] = {};
        for (int g = 0; g < n_groups; g++) {
            for (int i = 0; i < groups[g].n; i++) {
                float & top = largest[g * SOTTO_MAX_QUERIES + i];
                if (op.sinks) {  // a score that has no value
                    const float sink = ((const float *) op.sinks->data)[groups[g].head[i]];
                    top = std::max(top, sink);
                    total[g][i] = expf(sink - top);
                }
                top = top == -INFINITY ? 0 : top;  // nothing seen: weights of e^-infinity, not of NaN
                memset(groups[g].a.dst[i] + begin, 0, size_t(end - begin) * sizeof(float));
            }
        }
        for (int64_t b = 0; b < op.blocks(); b++) {
            const uint64_t all = seen_by_all(b);
            const uint8_t * values[BLOCK];
            const int count = rows_of(op.v, b, all, begin, end, values);
            for (int g = 0; g < n_groups && count > 0; g++) {
                float weights[BLOCK * SOTTO_MAX_QUERIES];
                use->weigh(scores_of(g, b), count, largest + g * SOTTO_MAX_QUERIES, weights, total[g]);
                for (int64_t d = begin; d < end;) {
                    const int log = use->wide == 4 && d + 4 * use->lanes <= end ? 2 : use->wide >= 2 && d + 2 * use->lanes <= end ? 1 : 0;
                    use->values[type_of(op.v)][groups[g].n - 1][log](&groups[g].a, values, count, weights, d);
                    d += int64_t(use->lanes) << log;
                }
            }
        }
        for (int g = 0; g < n_groups; g++) {
            for (int i = 0; i < groups[g].n; i++) {
                const float by = total[g][i] > 0 ? 1.0f / total[g][i] : 0.0f;
                for (int64_t d = begin; d < end; d++) {
                    groups[g].a.dst[i][d] *= by;
                }
            }
        }
    }

    int n_groups;
    float * most;  // [blocks][n_groups][SOTTO_MAX_QUERIES], where tiles are split

  private:
    // Queries begin .. end - 1, counted row by row.
    void fill_group(group & g, int64_t begin, int64_t end, int64_t first_head, int64_t n_heads) const {
        g = {};
        g.a.d_k     = op.k->ne[0];
        g.a.ahead_k = int64_t(AHEAD * op.k->nb[1]);
        g.a.ahead_v = int64_t(AHEAD * op.v->nb[1]);
        g.a.softcap = op.softcap;
        g.a.scale   = op.softcap != 0 ? op.scale / op.softcap : op.scale;
        for (int64_t i = begin; i < end; i++) {
            const int64_t row = first_row + i / n_heads, head = first_head + i % n_heads;
            g.row[g.n]   = i / n_heads;
            g.head[g.n]  = head;
            g.a.q[g.n]   = (const float *) ((const char *) op.q->data + row * op.q->nb[1] + head * op.q->nb[2]);
            g.a.dst[g.n] = (float *) ((char *) op.dst->data + head * op.dst->nb[1] + row * op.dst->nb[2]);
            g.n++;
        }
    }

    // With one group, numbers go from the cache to registers; with more, it pays to make floats of them once.
    bool expands(const ggml_tensor * t) const { return n_groups > 1 && t->type != GGML_TYPE_F32; }
    int type_of(const ggml_tensor * t) const { return expands(t) ? int(SOTTO_KV_F32) : kv_of(t->type); }

    uint64_t look_at(int64_t block, int64_t r, bool * biased) const {
        const uint16_t * mask = op.mask_of(first_row + r);
        const int count = int(std::min(BLOCK, op.cells() - block * BLOCK));
        return seen[r * op.blocks() + block] = look(mask ? mask + block * BLOCK : nullptr, count, biased);
    }

    uint64_t seen_by_all(int64_t block) const {
        uint64_t all = 0;
        for (int64_t r = 0; r < n_rows; r++) {
            all |= seen[r * op.blocks() + block];
        }
        return all;
    }

    float * scores_of(int g, int64_t block) const { return scores + (block * n_groups + g) * BLOCK * SOTTO_MAX_QUERIES; }

    // Where elements begin .. end - 1 of the cells in `bits` are; element 0, that is.
    int rows_of(const ggml_tensor * t, int64_t block, uint64_t bits, int64_t begin, int64_t end, const uint8_t ** rows) const {
        const uint8_t * base = (const uint8_t *) t->data + head_kv * t->nb[2] + block * BLOCK * t->nb[1];
        int count = 0;
        for (int i = 0; i < BLOCK && bits >> i; i++) {
            if (bits >> i & 1) {
                rows[count++] = base + i * t->nb[1];
            }
        }
        for (int i = 0; i < count && expands(t); i++) {
            float * to = floats + i * t->ne[0];
            use->expand[kv_of(t->type)](rows[i], begin, end, to + begin);
            rows[i] = (const uint8_t *) to;
        }
        return count;
    }

    void fill_bias(const group & g, int64_t block, uint64_t bits, float * bias) const {
        float slopes[SOTTO_MAX_QUERIES];
        for (int i = 0; i < g.n; i++) {
            slopes[i] = op.slope(g.head[i]);
        }
        for (int c = 0; c < BLOCK && bits >> c; c++) {
            if (bits >> c & 1) {
                for (int i = 0; i < SOTTO_MAX_QUERIES; i++) {
                    const int known = i < g.n ? i : 0;
                    const uint16_t half = op.mask_of(first_row + g.row[known])[block * BLOCK + c];
                    *bias++ = half == 0 ? 0 : half == HIDDEN ? -INFINITY : slopes[known] * ggml_fp16_to_fp32(half);
                }
            }
        }
        memset(bias, 0, 12 * sizeof(float));  // a kernel may read up to a vector
    }

    const attention & op;
    const sotto_kernels * use;
    int64_t first_row, n_rows, head_kv;
    group groups[MAX_GROUPS];
    uint64_t * seen;  // [n_rows][blocks]
    float * scores;   // [blocks][n_groups][BLOCK][SOTTO_MAX_QUERIES]
    float * floats;
};

class attention_traits : public ggml::cpu::tensor_traits {
    bool work_size(int planned, const ggml_tensor * tensor, size_t & size) override {
        const attention op(tensor);
        const int n_threads = sotto_team_size(planned);
        // As many threads as there are at most may turn out to be fewer, and then fewer tiles are split.
        const size_t split = op.split(n_threads) ? size_t(op.one_row_tiles()) * op.split_size() : 0;
        size = size_t(n_threads) * op.floats_size() + std::max(split, size_t(n_threads) * op.whole_size());
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * tensor) override {
        const attention op(tensor);
        sotto_team team(params);
        char * memory = (char *) params->wdata;
        if (op.split(team.size())) {
            in_parts(team, op, memory, sotto_kernels_in_use());
        } else {
            in_tiles(team, op, memory, sotto_kernels_in_use());
        }
        return true;
    }

    static float * floats_of(char * memory, const attention & op, int member) { return (float *) (memory + member * op.floats_size()); }
    static char * memory_of(char * memory, const sotto_team & team, const attention & op, int64_t index, size_t size) {
        return memory + team.size() * op.floats_size() + index * size;
    }

    static void compute(const attention & op, const tile & whole) {
        float most[MAX_GROUPS * SOTTO_MAX_QUERIES];
        std::fill(most, most + MAX_GROUPS * SOTTO_MAX_QUERIES, -INFINITY);
        for (int64_t b = 0; b < op.blocks(); b++) {
            whole.score(b, most);
        }
        whole.add_values(0, op.v->ne[0], most);
    }

    // Many rows: each tile by one thread, taken when it is free, since those that see more cells take longer.
    static void in_tiles(sotto_team & team, const attention & op, char * memory, const sotto_kernels * use) {
        const int64_t step = op.rows_of_tile(team.size()), per_head = ceil_div(op.rows(), step);
        team.each(0, [](int64_t, int) {});
        team.take(per_head * op.heads_kv() * op.parts(), [&](int64_t i, int member) {
            char * its = memory_of(memory, team, op, member, op.whole_size());
            float * floats = floats_of(memory, op, member);
            const int64_t row = i % per_head * step, n_rows = std::min(step, op.rows() - row);
            const int64_t head_kv = i / per_head / op.parts(), part = i / per_head % op.parts();
            const tile together(op, row, n_rows, head_kv, part, its, floats, use);
            if (n_rows == 1 || together.alike()) {
                compute(op, together);
                return;
            }
            for (int64_t r = row; r < row + n_rows; r++) {
                compute(op, tile(op, r, 1, head_kv, part, its, floats, use));
            }
        });
    }

    // One row or a few: threads share the cells of a tile, then its outputs.
    static void in_parts(sotto_team & team, const attention & op, char * memory, const sotto_kernels * use) {
        const int64_t n_blocks = op.blocks(), n_tiles = op.one_row_tiles();
        const auto tile_at = [&](int64_t i, int member) {
            const int64_t row = i / op.parts() / op.heads_kv(), head_kv = i / op.parts() % op.heads_kv(), part = i % op.parts();
            return tile(op, row, 1, head_kv, part, memory_of(memory, team, op, i, op.split_size()), floats_of(memory, op, member), use);
        };
        team.each(n_tiles * n_blocks, [&](int64_t i, int member) {
            const tile whole = tile_at(i / n_blocks, member);
            float * most = whole.most + i % n_blocks * whole.n_groups * SOTTO_MAX_QUERIES;
            std::fill(most, most + whole.n_groups * SOTTO_MAX_QUERIES, -INFINITY);
            whole.score(i % n_blocks, most);
        });
        // Each slice weighs all scores once more: no more of them than give every thread as much to do.
        const int64_t d_v = op.v->ne[0], wanted = team.size() / std::gcd(n_tiles, int64_t(team.size()));
        const int64_t slice = ceil_div(ceil_div(d_v, wanted), 32) * 32, n_slices = ceil_div(d_v, slice);
        team.take(n_tiles * n_slices, [&](int64_t i, int member) {
            const tile whole = tile_at(i / n_slices, member);
            float most[MAX_GROUPS * SOTTO_MAX_QUERIES];
            const int n = whole.n_groups * SOTTO_MAX_QUERIES;
            std::copy(whole.most, whole.most + n, most);
            for (int64_t block = 1; block < n_blocks; block++) {
                for (int q = 0; q < n; q++) {
                    most[q] = std::max(most[q], whole.most[block * n + q]);
                }
            }
            const int64_t d = i % n_slices * slice;
            whole.add_values(d, std::min(d + slice, d_v), most);
        });
    }
};

}  // namespace

ggml::cpu::tensor_traits * sotto_attention_traits(const ggml_tensor * op) {
    static attention_traits * const instance = new attention_traits;  // as long as the process, like ggml's own
    const sotto_kernels * use = sotto_kernels_in_use();
    return use && attention(op).ours(use) ? instance : nullptr;
}
